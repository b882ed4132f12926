//! Conditions of invariants: `outflow(account).paid <= param.daily_max and supply == balances`.
//!
//! Numbers are signed 128-bit; what leaves that range stays at its end, so that a comparison still tells which side
//! is greater. Depth is bounded while reading, so evaluation is too.

const DEPTH_MAX: usize = 32;

/// What a condition is read over.
pub trait World {
    /// The value of a name such as `supply` or `param.daily_max`.
    ///
    /// # Errors
    /// A sentence.
    fn name(&self, name: &str) -> Result<i128, String>;

    /// A field of a query's answer.
    ///
    /// # Errors
    /// A sentence.
    fn call(&self, query: &str, args: &[String], field: Option<&str>) -> Result<i128, String>;
}

/// A condition, or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Number(i128),
    Name(String),
    Call(String, Vec<String>, Option<String>),
    Not(Box<Node>),
    Pair(Operator, Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Plus,
    Minus,
    Times,
}

/// Every operator with its strength; the longer of two that begin alike stands first.
const OPERATORS: [(&str, Operator, u8); 11] = [
    ("or", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("==", Operator::Equal, 3),
    ("!=", Operator::Unequal, 3),
    ("<=", Operator::AtMost, 3),
    (">=", Operator::AtLeast, 3),
    ("<", Operator::Less, 3),
    (">", Operator::Greater, 3),
    ("+", Operator::Plus, 4),
    ("-", Operator::Minus, 4),
    ("*", Operator::Times, 5),
];

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// A sentence that names what stands where it should not.
    pub fn read(text: &str) -> Result<Condition, String> {
        let mut reader = Reader { left: text };
        let node = reader.operation(0, 0)?;
        match reader.left.trim_start() {
            "" => Ok(Condition(node)),
            rest => Err(format!("{rest:?} is left over")),
        }
    }

    /// The number, 1 for true and 0 for false.
    ///
    /// # Errors
    /// Those of `world`.
    pub fn value(&self, world: &dyn World) -> Result<i128, String> {
        value(&self.0, world)
    }
}

fn value(node: &Node, world: &dyn World) -> Result<i128, String> {
    Ok(match node {
        Node::Number(number) => *number,
        Node::Name(name) => world.name(name)?,
        Node::Call(query, args, field) => world.call(query, args, field.as_deref())?,
        Node::Not(inner) => i128::from(value(inner, world)? == 0),
        // A part that no longer matters is not asked for: it may have no value then.
        Node::Pair(Operator::And, a, b) => i128::from(value(a, world)? != 0 && value(b, world)? != 0),
        Node::Pair(Operator::Or, a, b) => i128::from(value(a, world)? != 0 || value(b, world)? != 0),
        Node::Pair(operator, a, b) => {
            let (a, b) = (value(a, world)?, value(b, world)?);
            match operator {
                Operator::Or | Operator::And | Operator::Equal => i128::from(a == b),
                Operator::Unequal => i128::from(a != b),
                Operator::Less => i128::from(a < b),
                Operator::AtMost => i128::from(a <= b),
                Operator::Greater => i128::from(a > b),
                Operator::AtLeast => i128::from(a >= b),
                Operator::Plus => a.saturating_add(b),
                Operator::Minus => a.saturating_sub(b),
                Operator::Times => a.saturating_mul(b),
            }
        }
    })
}

struct Reader<'a> {
    left: &'a str,
}

impl Reader<'_> {
    fn operation(&mut self, strength: u8, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        let mut left = self.operand(depth)?;
        while let Some((text, operator, own)) = self.peek() {
            if own <= strength {
                break;
            }
            self.left = &self.left.trim_start()[text.len()..];
            let right = self.operation(own, depth + 1)?;
            left = Node::Pair(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn peek(&self) -> Option<(&'static str, Operator, u8)> {
        let left = self.left.trim_start();
        OPERATORS.into_iter().find(|(text, _, _)| {
            let word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
            left.strip_prefix(text).is_some_and(|rest| !word || !rest.starts_with(is_of_name))
        })
    }

    fn operand(&mut self, depth: usize) -> Result<Node, String> {
        if self.takes("(") {
            let inner = self.operation(0, depth + 1)?;
            return if self.takes(")") { Ok(inner) } else { Err("a ) is missing".into()) };
        }
        if self.takes("-") {
            let zero = Box::new(Node::Number(0));
            if depth > DEPTH_MAX {
                return Err(format!("nested deeper than {DEPTH_MAX}"));
            }
            return Ok(Node::Pair(Operator::Minus, zero, Box::new(self.operand(depth + 1)?)));
        }
        let word = self.word();
        if word.is_empty() {
            return Err(format!("a number, name or ( must stand before {:?}", self.left.trim_start()));
        }
        if word == "not" {
            return Ok(Node::Not(Box::new(self.operation(2, depth + 1)?)));
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = word.replace('_', "");
            return digits.parse().map(Node::Number).map_err(|_| format!("{word:?} is not a number"));
        }
        if !self.left.starts_with('(') {
            return Ok(Node::Name(word));
        }
        self.left = &self.left[1..];
        let mut args = Vec::new();
        while !self.takes(")") {
            let arg = self.word();
            if arg.is_empty() {
                return Err(format!("an argument of {word} is missing"));
            }
            args.push(arg);
            if !self.takes(",") && !self.left.trim_start().starts_with(')') {
                return Err(format!("a , or ) is missing in {word}(…)"));
            }
        }
        let field = self.left.starts_with('.').then(|| {
            self.left = &self.left[1..];
            self.word()
        });
        Ok(Node::Call(word, args, field))
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.left.trim_start().strip_prefix(text) {
            Some(rest) => {
                self.left = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        let left = self.left.trim_start();
        let end = left.find(|c| !is_of_name(c)).unwrap_or(left.len());
        let (word, rest) = left.split_at(end);
        self.left = rest;
        word.to_owned()
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seven;

    impl World for Seven {
        fn name(&self, name: &str) -> Result<i128, String> {
            if name == "seven" { Ok(7) } else { Err(format!("no {name}")) }
        }

        fn call(&self, query: &str, args: &[String], field: Option<&str>) -> Result<i128, String> {
            Ok((query.len() + args.len() * 10 + field.map_or(0, str::len) * 100) as i128)
        }
    }

    #[test]
    fn conditions_are_read_by_strength() {
        let rows = [
            ("1 + 2 * 3 == seven", Ok(1)),
            ("(1 + 2) * 3", Ok(9)),
            ("10 - 3 - 2", Ok(5)),
            ("-seven < 0 and not 1 > 2", Ok(1)),
            ("0 and nothing", Ok(0)),
            ("1 or nothing", Ok(1)),
            ("not seven == 7 or 1_000 >= 1000", Ok(1)),
            ("paid(a, b).xy + one()", Ok(4 + 20 + 200 + 3)),
            ("1 +", Err(())),
            ("(1", Err(())),
            ("1 2", Err(())),
            ("f(1", Err(())),
            ("f(1 2)", Err(())),
            ("eight", Err(())),
            ("99999999999999999999999999999999999999999", Err(())),
            ("170141183460469231731687303715884105727 + 1 > 0", Ok(1)),
        ];
        for (text, expected) in rows {
            let came = Condition::read(text).and_then(|condition| condition.value(&Seven));
            assert_eq!(came.clone().map_err(|_| ()), expected, "{text}: {came:?}");
        }
        assert!(Condition::read(&"(".repeat(10_000)).is_err());
        assert!(Condition::read(&"-".repeat(10_000)).is_err());
        assert!(Condition::read(&"not ".repeat(10_000)).is_err());
    }
}
