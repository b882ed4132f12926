//! Checked arithmetic on amounts (`u128`) and signed quantities (`i128`). No floats, no wrapping: a result that does
//! not exist is an error, and `?` in a policy turns it into the denial `arithmetic` (code 5).
//!
//! Nothing is rounded unless a [`Rounding`] says how.
//!
//! ```
//! use dsm_policy::math::{Rounding, mul_div, mul_div_signed, rescale, sub};
//! // A fee of 25 basis points on 1,000,333 base units, in favour of who receives it.
//! assert_eq!(mul_div(1_000_333, 25, 10_000, Rounding::Up), Ok(2_501));
//! // An answer of -1.2345 (4 decimals) times 100.00 (2 decimals), with 2 decimals, to the nearest.
//! assert_eq!(mul_div_signed(-12_345, 10_000, 10_000, Rounding::HalfEven), Ok(-12_345));
//! // 1.5 units of a token with 6 decimals, in a token with 2.
//! assert_eq!(rescale(1_500_000, 6, 2, Rounding::Down), Ok(150));
//! assert!(sub(1, 2).is_err());
//! ```

use crate::{Denials, Deny, Refused};

/// Why a result does not exist. `?` makes it the denial [`Refused::Arithmetic`].
///
/// ```
/// use dsm_policy::{Deny, math::MathError};
/// assert_eq!(Deny::from(MathError::DivisionByZero).into_denial().code, 5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathError {
    /// It leaves the range of its type: 0 to 2¹²⁸ − 1, or −2¹²⁷ to 2¹²⁷ − 1.
    OutOfRange,
    /// The divisor is zero.
    DivisionByZero,
}

impl From<MathError> for Deny {
    fn from(error: MathError) -> Self {
        Refused::Arithmetic.because(match error {
            MathError::OutOfRange => "the result leaves the range of its type",
            MathError::DivisionByZero => "division by zero",
        })
    }
}

/// What becomes of the remainder of a division. There is no default: who gains by a rounding is a decision.
///
/// ```
/// use dsm_policy::math::{Rounding, mul_div_signed};
/// let halves = |rounding| [-5, -3, 3, 5].map(|n| mul_div_signed(n, 1, 2, rounding).unwrap());
/// assert_eq!(halves(Rounding::Down), [-2, -1, 1, 2]);
/// assert_eq!(halves(Rounding::Up), [-3, -2, 2, 3]);
/// assert_eq!(halves(Rounding::HalfEven), [-2, -2, 2, 2]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: in favour of who pays out.
    Down,
    /// Away from zero: in favour of who receives.
    Up,
    /// To the nearest; ties to the even neighbour, so that repeated rounding has no drift.
    HalfEven,
}

/// `a + b`, in base units.
///
/// ```
/// use dsm_policy::math::{MathError, add};
/// assert_eq!([1, 2, 3].into_iter().try_fold(0, add), Ok(6));
/// assert_eq!(add(u128::MAX, 1), Err(MathError::OutOfRange));
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`].
pub const fn add(a: u128, b: u128) -> Result<u128, MathError> {
    match a.checked_add(b) {
        Some(sum) => Ok(sum),
        None => Err(MathError::OutOfRange),
    }
}

/// `a - b`, in base units.
///
/// ```
/// use dsm_policy::math::{MathError, sub};
/// assert_eq!(sub(5, 5), Ok(0));
/// assert_eq!(sub(5, 6), Err(MathError::OutOfRange));
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`] if `b` is greater.
pub const fn sub(a: u128, b: u128) -> Result<u128, MathError> {
    match a.checked_sub(b) {
        Some(difference) => Ok(difference),
        None => Err(MathError::OutOfRange),
    }
}

/// `a * b`.
///
/// ```
/// use dsm_policy::math::{MathError, mul};
/// assert_eq!(mul(1 << 64, 1 << 63), Ok(1 << 127));
/// assert_eq!(mul(1 << 64, 1 << 64), Err(MathError::OutOfRange));
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`]; [`mul_div`] keeps the whole product where a division follows.
pub const fn mul(a: u128, b: u128) -> Result<u128, MathError> {
    match a.checked_mul(b) {
        Some(product) => Ok(product),
        None => Err(MathError::OutOfRange),
    }
}

/// `a / b`.
///
/// ```
/// use dsm_policy::math::{Rounding, div};
/// assert_eq!(div(7, 2, Rounding::Up), Ok(4));
/// assert!(div(7, 0, Rounding::Up).is_err());
/// ```
///
/// # Errors
/// [`MathError::DivisionByZero`].
pub fn div(a: u128, b: u128, rounding: Rounding) -> Result<u128, MathError> {
    mul_div(a, 1, b, rounding)
}

/// `a * b / c` with a 256-bit product, so that nothing is lost between the two steps.
///
/// ```
/// use dsm_policy::math::{Rounding, mul_div};
/// // A third of all there can be, and three thirds again.
/// let third = mul_div(u128::MAX, 1, 3, Rounding::Down).unwrap();
/// assert_eq!(mul_div(third, u128::MAX, third, Rounding::Down), Ok(u128::MAX));
/// ```
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

/// An amount in units of 10^-`from` as one in units of 10^-`to`: the same quantity in a token or feed with another
/// number of decimals.
///
/// ```
/// use dsm_policy::math::{MathError, Rounding, rescale};
/// assert_eq!(rescale(199, 2, 0, Rounding::Down), Ok(1));
/// assert_eq!(rescale(7, 0, 18, Rounding::Down), Ok(7_000_000_000_000_000_000));
/// assert_eq!(rescale(1, 0, 39, Rounding::Down), Err(MathError::OutOfRange));
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`] if the result, or the power of ten between the two, needs more than 128 bits.
pub fn rescale(amount: u128, from: u8, to: u8, rounding: Rounding) -> Result<u128, MathError> {
    let factor = 10_u128.checked_pow(u32::from(from.abs_diff(to))).ok_or(MathError::OutOfRange)?;
    if to >= from { mul(amount, factor) } else { mul_div(amount, 1, factor, rounding) }
}

/// `a + b` of signed quantities.
///
/// ```
/// use dsm_policy::math::add_signed;
/// assert_eq!(add_signed(-5, 3), Ok(-2));
/// assert!(add_signed(i128::MIN, -1).is_err());
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`].
pub const fn add_signed(a: i128, b: i128) -> Result<i128, MathError> {
    match a.checked_add(b) {
        Some(sum) => Ok(sum),
        None => Err(MathError::OutOfRange),
    }
}

/// `a - b` of signed quantities.
///
/// ```
/// use dsm_policy::math::sub_signed;
/// assert_eq!(sub_signed(3, 5), Ok(-2));
/// assert!(sub_signed(0, i128::MIN).is_err());
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`].
pub const fn sub_signed(a: i128, b: i128) -> Result<i128, MathError> {
    match a.checked_sub(b) {
        Some(difference) => Ok(difference),
        None => Err(MathError::OutOfRange),
    }
}

/// `a * b / c` of signed quantities with a 256-bit product. [`Rounding`] speaks of distances from zero, so −a rounds
/// to minus what a rounds to.
///
/// ```
/// use dsm_policy::math::{Rounding, mul_div_signed};
/// assert_eq!(mul_div_signed(i128::MIN, 3, 3, Rounding::Down), Ok(i128::MIN));
/// assert_eq!(mul_div_signed(-7, 1, -2, Rounding::Up), Ok(4));
/// assert!(mul_div_signed(i128::MIN, 1, -1, Rounding::Down).is_err());
/// ```
///
/// # Errors
/// [`MathError::DivisionByZero`]; [`MathError::OutOfRange`] if the quotient leaves −2¹²⁷ to 2¹²⁷ − 1.
pub fn mul_div_signed(a: i128, b: i128, c: i128, rounding: Rounding) -> Result<i128, MathError> {
    let size = mul_div(a.unsigned_abs(), b.unsigned_abs(), c.unsigned_abs(), rounding)?;
    let negative = (a < 0) ^ (b < 0) ^ (c < 0);
    let signed = if negative { 0_i128.checked_sub_unsigned(size) } else { 0_i128.checked_add_unsigned(size) };
    signed.ok_or(MathError::OutOfRange)
}

/// A signed quantity as an amount: what a policy does to an answer of a feed before it counts with it.
///
/// ```
/// use dsm_policy::math::unsigned;
/// assert_eq!(unsigned(7), Ok(7));
/// assert!(unsigned(-7).is_err());
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`] below zero.
pub const fn unsigned(quantity: i128) -> Result<u128, MathError> {
    if quantity < 0 { Err(MathError::OutOfRange) } else { Ok(quantity as u128) }
}

/// An amount as a signed quantity.
///
/// ```
/// use dsm_policy::math::signed;
/// assert_eq!(signed(7), Ok(7));
/// assert!(signed(u128::MAX).is_err());
/// ```
///
/// # Errors
/// [`MathError::OutOfRange`] above 2¹²⁷ − 1.
pub const fn signed(amount: u128) -> Result<i128, MathError> {
    if amount > i128::MAX as u128 { Err(MathError::OutOfRange) } else { Ok(amount as i128) }
}

/// The median of `values`, which it sorts; of an even count the lower of the two in the middle, so that the result
/// is always one of the values. `None` of none.
///
/// ```
/// use dsm_policy::math::median;
/// assert_eq!(median(&mut [30, 10, 20]), Some(20));
/// assert_eq!(median(&mut [30, 10, 20, 40]), Some(20));
/// assert_eq!(median(&mut []), None);
/// ```
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
    use alloc::vec::Vec;

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

    /// Pseudo-random numbers with all sizes and both signs among them.
    fn numbers() -> impl Iterator<Item = u128> {
        let mut x = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        core::iter::from_fn(move || {
            x = x.wrapping_mul(0xda94_2042_e4dd_58b5).rotate_left(41) ^ x >> 7;
            Some(x >> (x % 128))
        })
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

    #[test]
    fn signed_results_are_the_unsigned_ones_with_the_sign_of_the_product() {
        let numbers: Vec<u128> = numbers().take(3_000).collect();
        for given in numbers.chunks_exact(3) {
            let [a, b, c] = [given[0] as i128, given[1] as i128, given[2] as i128];
            for rounding in [Rounding::Down, Rounding::Up, Rounding::HalfEven] {
                let came = mul_div_signed(a, b, c, rounding);
                let size = mul_div(a.unsigned_abs(), b.unsigned_abs(), c.unsigned_abs(), rounding);
                match (came, size) {
                    (Ok(came), Ok(size)) => {
                        assert_eq!(came.unsigned_abs(), size, "{a} * {b} / {c}");
                        assert!(size == 0 || (came < 0) == ((a < 0) ^ (b < 0) ^ (c < 0)));
                    }
                    (Err(MathError::OutOfRange), Ok(size)) => assert!(size >= 1 << 127),
                    (came, size) => assert_eq!(came.err(), size.err()),
                }
            }
        }
        let edges = [
            (i128::MIN, 1, 1, Ok(i128::MIN)),
            (i128::MIN, -1, 1, Err(MathError::OutOfRange)),
            (i128::MIN, i128::MIN, i128::MIN, Ok(i128::MIN)),
            (i128::MAX, 1, -1, Ok(-i128::MAX)),
            (1, 1, 0, Err(MathError::DivisionByZero)),
        ];
        for (a, b, c, expected) in edges {
            assert_eq!(mul_div_signed(a, b, c, Rounding::Down), expected, "{a} * {b} / {c}");
        }
    }

    /// By its definition: a value of the list, with at least half of the list on either side of it, and the lower
    /// one where two have that.
    #[test]
    fn a_median_is_a_value_in_the_middle() {
        let mut numbers = numbers().map(|number| (number as i128) % 7);
        for count in (1..=17).cycle().take(2_000) {
            let given: Vec<i128> = numbers.by_ref().take(count).collect();
            let mut values = given.clone();
            let median = median(&mut values).unwrap();
            let below = given.iter().filter(|value| **value < median).count();
            let above = given.iter().filter(|value| **value > median).count();
            assert!(below <= (count - 1) / 2 && above <= count / 2, "{given:?}: {median}");
            assert!(given.contains(&median));
            let mut sorted = given;
            sorted.sort_unstable();
            assert_eq!(values, sorted);
        }
        let extremes = &mut [i128::MAX, i128::MIN];
        assert_eq!(super::median(extremes), Some(i128::MIN));
    }
}
