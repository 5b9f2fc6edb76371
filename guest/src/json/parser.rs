//! Reads the text of JSON.

use super::{Malformed, Value};

/// Reading a deeper value would need too much of the stack.
const MAX_DEPTH: usize = 64;

/// Reads one value, with nothing but spaces around it.
pub fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("not UTF-8".into()))?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn unexpected(&self) -> Malformed {
        Malformed(match self.peek() {
            Some(byte) => format!("unexpected {:?} at byte {}", char::from(byte), self.at),
            None => "it ends too early".into(),
        })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether `token` comes next, which is then passed.
    fn passes(&mut self, token: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(token.as_bytes());
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn needs(&mut self, token: &str) -> Result<(), Malformed> {
        self.space();
        if self.passes(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed(format!("deeper than {MAX_DEPTH}")));
        }
        self.space();
        match self.peek() {
            Some(b'n') if self.passes("null") => Ok(Value::Null),
            Some(b't') if self.passes("true") => Ok(Value::Bool(true)),
            Some(b'f') if self.passes("false") => Ok(Value::Bool(false)),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => {
                let mut list = Vec::new();
                self.items(b']', |parser| {
                    list.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::List(list))
            }
            Some(b'{') => {
                let mut members = Vec::new();
                self.items(b'}', |parser| {
                    parser.space();
                    let name = parser.string()?;
                    parser.needs(":")?;
                    members.push((name, parser.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Value::Object(members))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// From the opening bracket to the closing one.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.at += 1;
        self.space();
        if self.peek() != Some(end) {
            item(self)?;
            self.space();
            while self.passes(",") {
                item(self)?;
                self.space();
            }
        }
        if self.peek() != Some(end) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.unexpected()) }
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        let start = self.at;
        self.passes("-");
        if !self.passes("0") {
            self.digits()?;
        }
        let whole = self.at;
        if self.passes(".") {
            self.digits()?;
        }
        if self.passes("e") || self.passes("E") {
            let _ = self.passes("+") || self.passes("-");
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let integer = if self.at == whole { text.parse().ok() } else { None };
        match integer {
            Some(integer) => Ok(Value::Integer(integer)),
            None => text.parse().map(Value::Float).map_err(|_| self.unexpected()),
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        if !self.passes("\"") {
            return Err(self.unexpected());
        }
        let mut string = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            string.push_str(&self.text[start..self.at]);
            if self.passes("\"") {
                return Ok(string);
            }
            if !self.passes("\\") {
                return Err(self.unexpected());
            }
            string.push(self.escaped()?);
        }
    }

    /// Reads what follows a backslash in a string.
    fn escaped(&mut self) -> Result<char, Malformed> {
        let Some(byte) = self.peek() else { return Err(self.unexpected()) };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                let mut code = self.hexadecimal()?;
                // The first half of a pair.
                if (0xd800..0xdc00).contains(&code) && self.passes("\\u") {
                    let low = self.hexadecimal()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.unexpected());
                    }
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                return char::from_u32(code).ok_or_else(|| self.unexpected());
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(plain)
    }

    fn hexadecimal(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            code = code * 16 + char::from(digit).to_digit(16).ok_or_else(|| self.unexpected())?;
        }
        if digits.len() < 4 {
            return Err(self.unexpected());
        }
        self.at += 4;
        Ok(code)
    }
}
