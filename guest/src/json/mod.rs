//! JSON, as much of it as the protocol needs. A library that derives this takes half of the time in which the whole agent is compiled, which every
//! newcomer waits for.

mod parser;

pub use parser::parse;
use std::collections::BTreeMap;
use std::fmt;

/// A value as it was received.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    /// With a fraction or an exponent.
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// In the order of the text; of two members with one name the last counts.
    Object(Vec<(String, Value)>),
}

/// The bytes are not JSON, or not the message that was expected: why.
#[derive(Debug)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What has a form in JSON.
pub trait Json {
    fn write(&self, out: &mut Vec<u8>);
    fn read(value: Value) -> Result<Self, Malformed>
    where
        Self: Sized;
    /// What a member stands for that is not there; None: it has to be there.
    fn absent() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

pub fn to_vec(value: &dyn Json) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

pub fn from_slice<T: Json>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read(parse(bytes)?)
}

fn expected<T>(what: &str) -> Result<T, Malformed> {
    Err(Malformed(format!("not {what}")))
}

/// Writes the members of an object, one after the other.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Writer<'a> {
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    pub fn member(&mut self, name: &str, value: &dyn Json) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        write_string(&camel(name), self.out);
        self.out.push(b':');
        value.write(self.out);
    }

    /// The members of `value`, which is an object.
    pub fn members_of(&mut self, value: &dyn Json) {
        let object = to_vec(value);
        if let [b'{', members @ .., b'}'] = object.as_slice()
            && !members.is_empty()
        {
            self.out.extend_from_slice(if self.first { b"" } else { b"," });
            self.first = false;
            self.out.extend_from_slice(members);
        }
    }

    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// The members of an object that was received. Those that nobody takes are ignored.
pub struct Members(Vec<(String, Value)>);

impl Members {
    pub fn of(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => expected("an object"),
        }
    }

    /// What those that are left make.
    pub fn read<T: Json>(self) -> Result<T, Malformed> {
        T::read(Value::Object(self.0))
    }

    fn find(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().rposition(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// @param absent: what it is when it is not there
    pub fn take<T: Json>(&mut self, name: &str, absent: Option<T>) -> Result<T, Malformed> {
        let name = camel(name);
        match self.find(&name) {
            Some(value) => T::read(value).map_err(|Malformed(why)| Malformed(format!("{name}: {why}"))),
            None => absent.ok_or_else(|| Malformed(format!("{name} is missing"))),
        }
    }
}

/// `time_ns` as it is called in JSON, `timeNs`.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

/// Structs with their form in JSON: an object with the fields' names in camel case. A field may have another name (`=> "type"`); `= default`: its
/// default when it is absent; `= omitted`: that, and left out when it is the default. An optional field may be absent or null.
macro_rules! messages {
    ($(
        $(#[$about:meta])*
        pub struct $message:ident { $(
            $(#[$note:meta])*
            pub $field:ident: $kind:ty $(=> $name:literal)? $(= $policy:ident)?
        ),+ $(,)? }
    )+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $message { $( $(#[$note])* pub $field: $kind ),+ }

        impl $crate::json::Json for $message {
            fn write(&self, out: &mut Vec<u8>) {
                let mut object = $crate::json::Writer::begin(out);
                $( if !messages!(@omits $kind, self.$field $(, $policy)?) {
                    object.member(messages!(@name $field $($name)?), &self.$field);
                } )+
                object.end();
            }

            fn read(value: $crate::json::Value) -> Result<Self, $crate::json::Malformed> {
                let mut members = $crate::json::Members::of(value)?;
                Ok(Self { $(
                    $field: members.take(messages!(@name $field $($name)?), messages!(@absent $kind $(, $policy)?))?
                ),+ })
            }
        }
    )+};
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@omits $kind:ty, $value:expr) => { false };
    (@omits $kind:ty, $value:expr, default) => { false };
    (@omits $kind:ty, $value:expr, omitted) => { $value == <$kind>::default() };
    (@absent $kind:ty) => { <$kind as $crate::json::Json>::absent() };
    (@absent $kind:ty, $policy:ident) => { Some(<$kind>::default()) };
}
pub(crate) use messages;

/// Enums whose form is a name.
macro_rules! names {
    ($kind:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $crate::json::Json for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                $crate::json::write_string(match self { $( $kind::$variant => $name ),+ }, out);
            }

            fn read(value: $crate::json::Value) -> Result<Self, $crate::json::Malformed> {
                match String::read(value)?.as_str() {
                    $( $name => Ok($kind::$variant), )+
                    other => Err($crate::json::unknown(other)),
                }
            }
        }
    };
}
pub(crate) use names;

pub fn unknown(name: &str) -> Malformed {
    Malformed(format!("{name:?} is not known"))
}

pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        let letter = match byte {
            b'"' | b'\\' => byte,
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            0..0x20 => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out.push(b'"');
}

fn write_list<'a>(items: impl Iterator<Item = &'a dyn Json>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item.write(out);
    }
    out.push(b']');
}

fn read_list(value: Value) -> Result<Vec<Value>, Malformed> {
    match value {
        Value::List(items) => Ok(items),
        _ => expected("a list"),
    }
}

macro_rules! integers {
    ($($kind:ty)+) => {$(
        impl Json for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.to_string().as_bytes());
            }

            fn read(value: Value) -> Result<Self, Malformed> {
                match value {
                    Value::Integer(number) => number.try_into().or_else(|_| expected(stringify!($kind))),
                    _ => expected("an integer"),
                }
            }
        }
    )+};
}
integers!(u16 u32 u64 usize i32);

impl Json for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        let text = if self.is_finite() { format!("{self:?}") } else { "null".into() };
        out.extend_from_slice(text.as_bytes());
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Integer(number) => Ok(number as f64),
            Value::Float(number) => Ok(number),
            _ => expected("a number"),
        }
    }
}

impl Json for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Bool(value) => Ok(value),
            _ => expected("true or false"),
        }
    }
}

impl Json for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self, out);
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Text(text) => Ok(text),
            _ => expected("a string"),
        }
    }
}

impl Json for char {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self.encode_utf8(&mut [0; 4]), out);
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let text = String::read(value)?;
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(letter),
            _ => expected("one letter"),
        }
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        if value == Value::Null { Ok(None) } else { T::read(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self.iter().map(|item| item as &dyn Json), out);
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        read_list(value)?.into_iter().map(T::read).collect()
    }
}

impl<T: Json, const N: usize> Json for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self.iter().map(|item| item as &dyn Json), out);
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        Vec::<T>::read(value)?.try_into().or_else(|_| expected(&format!("a list of {N}")))
    }
}

impl<T: Json> Json for BTreeMap<String, T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let Members(members) = Members::of(value)?;
        members.into_iter().map(|(name, value)| Ok((name, T::read(value)?))).collect()
    }
}
