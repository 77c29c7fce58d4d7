//! The tree as a serde deserializer whose errors carry the path to the node that was refused.
//!
//! Three habits of people who write YAML are served here: a key without a value stands for an empty
//! mapping or list, an expanded plain scalar is text where text is expected even if it looks like a
//! number, and every plain number keeps its own text for types that read strings.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::StrDeserializer,
};
use serde::forward_to_deserialize_any;

use crate::tree::{Key, Node, Path, Scalar, Step, Typed, Value};

/// Reads `node` into `T`.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Error> {
    T::deserialize(node).map_err(|mut error| {
        error.path.0.reverse();
        error
    })
}

/// What was refused, and where.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) message: String,
    /// From the root; while the error travels up, from the leaf.
    pub(crate) path: Path,
}

impl Error {
    fn under(mut self, step: Step) -> Self {
        self.path.0.push(step);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            path: Path::default(),
        }
    }
}

impl Scalar {
    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        match self.typed() {
            Typed::Null => visitor.visit_unit(),
            Typed::Bool(value) => visitor.visit_bool(value),
            Typed::Unsigned(value) => visitor.visit_u64(value),
            Typed::Signed(value) => visitor.visit_i64(value),
            Typed::Float(value) => visitor.visit_f64(value),
            Typed::Text(text) => visitor.visit_str(text),
        }
    }
}

impl<'de> de::Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) => scalar.visit(visitor),
            Value::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Value::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) if scalar.expanded => visitor.visit_str(&scalar.text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return visitor.visit_map(Entries {
                rest: [].iter(),
                value: None,
            });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return visitor.visit_seq(Items([].iter().enumerate()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) => visitor.visit_enum(Variant {
                name: &scalar.text,
                value: None,
            }),
            Value::Map(entries) => match entries.as_slice() {
                [(key, value)] => visitor.visit_enum(Variant {
                    name: &key.name,
                    value: Some(value),
                }),
                _ => Err(de::Error::custom("expected a mapping with exactly one key")),
            },
            Value::List(_) => Err(de::Error::custom("expected a word, found a list")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        let value = seed.deserialize(node);
        value.map(Some).map_err(|e| e.under(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, (Key, Node)>,
    value: Option<&'a (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was read before its key"));
        };
        let value = seed.deserialize(node);
        value.map_err(|e| e.under(Step::Key(key.name.clone())))
    }
}

struct Variant<'a> {
    name: &'a str,
    value: Option<&'a Node>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a>), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self)))
    }
}

/// What stands under an enum's key.
struct Content<'a>(Variant<'a>);

impl Content<'_> {
    fn with<T>(self, read: impl FnOnce(&Node) -> Result<T, Error>) -> Result<T, Error> {
        let Some(node) = self.0.value else {
            return Err(de::Error::custom("expected a mapping with one key"));
        };
        read(node).map_err(|e| e.under(Step::Key(self.0.name.to_owned())))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0.value {
            None => Ok(()),
            Some(_) => Err(de::Error::custom("expected a word, found a mapping")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.with(|node| seed.deserialize(node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.with(|node| de::Deserializer::deserialize_seq(node, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.with(|node| de::Deserializer::deserialize_map(node, visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::source::{Source, Sources};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Shape {
        Dot,
        Circle(u32),
    }

    #[derive(Debug, Deserialize)]
    struct All {
        shapes: Vec<Shape>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        nothing: Vec<u8>,
    }

    fn parse(text: &str) -> Node {
        let sources = Sources(vec![Source {
            name: "t".into(),
            text: text.to_owned(),
        }]);
        crate::tree::parse::parse(&sources, 0, &mut Vec::new()).unwrap()
    }

    #[test]
    fn words_and_single_keys_are_enums() {
        let all: All = read(&parse("shapes: [dot, {circle: 3}]\nname: x\nnothing:\n")).unwrap();
        assert_eq!(all.shapes, [Shape::Dot, Shape::Circle(3)]);
        assert_eq!((all.name.as_deref(), all.nothing.len()), (Some("x"), 0));
    }

    #[test]
    fn an_error_carries_the_path_to_its_node() {
        let error = read::<All>(&parse("shapes: [dot, {circle: x}]\n")).unwrap_err();
        assert_eq!(error.path.to_string(), "shapes[1].circle");
    }
}
