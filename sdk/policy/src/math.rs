//! Checked arithmetic on amounts. No floats, no wrapping: what does not exist is an error.

use crate::{Denials, Deny, Refused};

/// Why a result does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathError {
    /// It leaves 0 to 2¹²⁸ − 1.
    OutOfRange,
    /// The divisor is zero.
    DivisionByZero,
}

impl From<MathError> for Deny {
    fn from(error: MathError) -> Self {
        Refused::Arithmetic.because(match error {
            MathError::OutOfRange => "the result leaves 0 to 2^128 - 1",
            MathError::DivisionByZero => "division by zero",
        })
    }
}

/// What becomes of the remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: in favour of who pays out.
    Down,
    /// Away from zero: in favour of who receives.
    Up,
    /// To the nearest; ties to the even neighbour, so that repeated rounding has no drift.
    HalfEven,
}

/// `a + b`.
///
/// # Errors
/// [`MathError::OutOfRange`].
pub const fn add(a: u128, b: u128) -> Result<u128, MathError> {
    match a.checked_add(b) {
        Some(sum) => Ok(sum),
        None => Err(MathError::OutOfRange),
    }
}

/// `a - b`.
///
/// # Errors
/// [`MathError::OutOfRange`] if `b` is greater.
pub const fn sub(a: u128, b: u128) -> Result<u128, MathError> {
    match a.checked_sub(b) {
        Some(difference) => Ok(difference),
        None => Err(MathError::OutOfRange),
    }
}

/// `a * b / c` with a 256-bit product, so that nothing is lost between the two steps.
///
/// # Errors
/// [`MathError::DivisionByZero`]; [`MathError::OutOfRange`] if the quotient needs more than 128 bits.
pub fn mul_div(a: u128, b: u128, c: u128, rounding: Rounding) -> Result<u128, MathError> {
    if c == 0 {
        return Err(MathError::DivisionByZero);
    }
    let (high, low) = widening_mul(a, b);
    if high >= c {
        return Err(MathError::OutOfRange);
    }
    let (quotient, remainder) = if high == 0 { (low / c, low % c) } else { divide(high, low, c) };
    let up = match rounding {
        Rounding::Down => false,
        Rounding::Up => remainder != 0,
        // remainder < c, so the subtraction exists; comparing with it avoids doubling the remainder.
        Rounding::HalfEven => match remainder.cmp(&(c - remainder)) {
            core::cmp::Ordering::Less => false,
            core::cmp::Ordering::Equal => quotient % 2 == 1,
            core::cmp::Ordering::Greater => true,
        },
    };
    if up { add(quotient, 1) } else { Ok(quotient) }
}

/// The median of `values`, which it sorts; of an even count the lower of the two in the middle, so that the result
/// is always one of the values. `None` of none.
pub fn median(values: &mut [i128]) -> Option<i128> {
    // Sorting by insertion: rounds are short, and the code of a general sort is longer than most policies.
    for end in 1..values.len() {
        let mut at = end;
        while at > 0 && values[at - 1] > values[at] {
            values.swap(at - 1, at);
            at -= 1;
        }
    }
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// The high and low half of `a * b`.
fn widening_mul(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 64);
    let middle_low = (middle & LOW) + a0 * b1;
    (a1 * b1 + (middle >> 64) + (middle_low >> 64), middle_low << 64 | low & LOW)
}

/// Quotient and remainder of `high ‖ low` by `c`, bit by bit. `high < c`, so the quotient has 128 bits.
fn divide(high: u128, low: u128, c: u128) -> (u128, u128) {
    let (mut remainder, mut quotient) = (high, 0);
    for bit in (0..128).rev() {
        let carry = remainder >> 127;
        remainder = remainder << 1 | low >> bit & 1;
        quotient <<= 1;
        if carry == 1 || remainder >= c {
            // With the carry the true value is below 2c, so the wrapped difference is the exact one.
            remainder = remainder.wrapping_sub(c);
            quotient |= 1;
        }
    }
    (quotient, remainder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mul_div_keeps_256_bits_between_its_steps() {
        const MAX: u128 = u128::MAX;
        let rows = [
            (MAX, MAX, MAX, Rounding::Down, Ok(MAX)),
            (MAX, MAX - 1, MAX, Rounding::Up, Ok(MAX - 1)),
            (MAX, 2, 3, Rounding::Down, Ok(226_854_911_280_625_642_308_916_404_954_512_140_970)),
            (MAX, 2, 1, Rounding::Down, Err(MathError::OutOfRange)),
            (MAX, MAX, MAX - 1, Rounding::Down, Err(MathError::OutOfRange)),
            (1 << 100, 1 << 100, 1 << 90, Rounding::Down, Ok(1 << 110)),
            (7, 1, 2, Rounding::Down, Ok(3)),
            (7, 1, 2, Rounding::Up, Ok(4)),
            (7, 1, 2, Rounding::HalfEven, Ok(4)),
            (5, 1, 2, Rounding::HalfEven, Ok(2)),
            (8, 1, 3, Rounding::HalfEven, Ok(3)),
            (MAX, 3, 6, Rounding::HalfEven, Ok(1 << 127)),
            (0, 0, 0, Rounding::Down, Err(MathError::DivisionByZero)),
        ];
        for (a, b, c, rounding, expected) in rows {
            assert_eq!(mul_div(a, b, c, rounding), expected, "{a} * {b} / {c} {rounding:?}");
        }
    }

    #[test]
    fn long_division_inverts_multiplication() {
        let mut x = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        for _ in 0..2_000 {
            x = x.wrapping_mul(0xda94_2042_e4dd_58b5).rotate_left(41) ^ x >> 7;
            let (a, b) = (x, x.rotate_left(67) | 1);
            let (high, low) = widening_mul(a, b);
            assert_eq!(
                divide(high, low, b.max(high + 1)),
                if b > high { (a, 0) } else { divide(high, low, high + 1) }
            );
            assert_eq!(mul_div(a, b, b, Rounding::Up), Ok(a));
        }
    }
}
