//! The compiled schema, as tables that the parser and the printer look things up in.

use std::sync::OnceLock;

use prost_reflect::{Cardinality, DescriptorPool, Kind as ReflectedKind, MessageDescriptor};

use crate::config::proto::DESCRIPTORS;

/// Name of the field in which a layer remembers its place in the text. No text may set it.
const ORIGIN: &str = "cnnctl_origin";

/// Fields that mean something in memory only.
const UNSEEN: [&str; 2] = [ORIGIN, "cnnctl_array"];

/// All messages and enums of `proto/caffe.proto`.
pub(crate) struct Schema {
    messages: Vec<MessageType>,
    enums: Vec<EnumType>,
}

/// A message type.
pub(crate) struct MessageType {
    pub name: String,
    /// Without those that are unseen, sorted by name.
    fields: Vec<Field>,
    /// Positions in `fields`, sorted by number.
    by_number: Vec<usize>,
    /// Positions in `fields` of those that must be given.
    pub required: Vec<usize>,
    /// Number of the field `cnnctl_origin`, if there is one.
    pub origin: Option<u32>,
}

/// A field of a message type.
pub(crate) struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// What a field holds. Messages and enums are positions in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Float,
    Double,
    String,
    Bytes,
    Enum(usize),
    Message(usize),
}

/// An enum type.
pub(crate) struct EnumType {
    pub values: Vec<(String, i32)>,
}

impl Schema {
    /// The schema of this program, read from its descriptors on first use.
    pub fn get() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            let pool = DescriptorPool::decode(DESCRIPTORS).expect("build.rs wrote valid descriptors");
            Schema::from_pool(&pool)
        })
    }

    fn from_pool(pool: &DescriptorPool) -> Schema {
        let names: Vec<String> = pool.all_messages().map(|m| m.full_name().to_owned()).collect();
        let enum_names: Vec<String> = pool.all_enums().map(|e| e.full_name().to_owned()).collect();
        let position = |names: &[String], name: &str| {
            names.iter().position(|n| n == name).expect("the pool lists every type that it uses")
        };
        let kind = |kind: ReflectedKind| match kind {
            ReflectedKind::Bool => Kind::Bool,
            ReflectedKind::Int32 => Kind::Int32,
            ReflectedKind::Int64 => Kind::Int64,
            ReflectedKind::Uint32 => Kind::Uint32,
            ReflectedKind::Uint64 => Kind::Uint64,
            ReflectedKind::Float => Kind::Float,
            ReflectedKind::Double => Kind::Double,
            ReflectedKind::String => Kind::String,
            ReflectedKind::Bytes => Kind::Bytes,
            ReflectedKind::Enum(e) => Kind::Enum(position(&enum_names, e.full_name())),
            ReflectedKind::Message(m) => Kind::Message(position(&names, m.full_name())),
            other => unreachable!("proto/caffe.proto has no field of kind {other:?}"),
        };
        let enums = pool
            .all_enums()
            .map(|e| EnumType { values: e.values().map(|v| (v.name().to_owned(), v.number())).collect() });
        Schema {
            messages: pool.all_messages().map(|m| MessageType::new(&m, &kind)).collect(),
            enums: enums.collect(),
        }
    }

    /// The message type with this full name, for example `caffe.NetParameter`.
    pub fn message_named(&self, full_name: &str) -> Option<usize> {
        let name = full_name.strip_prefix("caffe.")?;
        self.messages.iter().position(|m| m.name == name)
    }

    pub fn message(&self, index: usize) -> &MessageType {
        &self.messages[index]
    }

    pub fn enumeration(&self, index: usize) -> &EnumType {
        &self.enums[index]
    }
}

impl MessageType {
    fn new(descriptor: &MessageDescriptor, kind: &dyn Fn(ReflectedKind) -> Kind) -> Self {
        let mut fields: Vec<Field> = descriptor
            .fields()
            .filter(|f| !UNSEEN.contains(&f.name()))
            .map(|f| Field {
                name: f.name().to_owned(),
                number: f.number(),
                kind: kind(f.kind()),
                repeated: f.is_list(),
            })
            .collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let mut by_number: Vec<usize> = (0..fields.len()).collect();
        by_number.sort_by_key(|&i| fields[i].number);
        let must = |f: &Field| {
            descriptor.get_field(f.number).is_some_and(|f| f.cardinality() == Cardinality::Required)
        };
        let required = (0..fields.len()).filter(|&i| must(&fields[i])).collect();
        let origin = descriptor.get_field_by_name(ORIGIN).map(|f| f.number());
        Self { name: descriptor.name().to_owned(), fields, by_number, required, origin }
    }

    /// Position of a field among the message's fields.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok()
    }

    pub fn field_at(&self, position: usize) -> &Field {
        &self.fields[position]
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|at| &self.fields[at])
    }

    pub fn field_numbered(&self, number: u32) -> Option<&Field> {
        let at = self.by_number.binary_search_by_key(&number, |&i| self.fields[i].number).ok()?;
        Some(&self.fields[self.by_number[at]])
    }

    /// The fields in the order of their numbers.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.by_number.iter().map(|&i| &self.fields[i])
    }
}

impl Kind {
    /// What a text must hold for it, for messages to people.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Int32 | Kind::Int64 => "an integer",
            Kind::Uint32 | Kind::Uint64 => "an integer, 0 or more",
            Kind::Float | Kind::Double => "a number",
            Kind::String | Kind::Bytes => "a text in quotes",
            Kind::Enum(_) => "one of its names, without quotes",
            Kind::Message(_) => "fields in braces",
        }
    }
}

impl EnumType {
    pub fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(n, _)| n == name).map(|&(_, number)| number)
    }

    pub fn name(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|&&(_, n)| n == number).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_number() {
        let schema = Schema::get();
        let net = schema.message(schema.message_named("caffe.NetParameter").expect("a net"));
        let layer = net.field("layer").expect("a field");
        assert_eq!((layer.number, layer.repeated), (100, true));
        assert!(net.required.is_empty());
        assert_eq!(net.field_numbered(100).map(|f| f.name.as_str()), Some("layer"));
        assert!(net.field("Layer").is_none() && net.field_numbered(99).is_none());
        let Kind::Message(layer) = layer.kind else { panic!("{:?}", layer.kind) };
        assert_eq!(schema.message(layer).origin, Some(7_700_001));
        assert!(schema.message(layer).field(ORIGIN).is_none());
        let clip = schema.message(schema.message_named("caffe.ClipParameter").expect("a message"));
        assert_eq!(clip.required, [0, 1]);
        assert_eq!(clip.fields().map(|f| f.number).collect::<Vec<_>>(), [1, 2]);
    }

    /// The parser recurses as deep as messages nest: this bounds it, whatever the input.
    #[test]
    fn messages_nest_at_most_eight_deep() {
        fn depth(schema: &Schema, message: usize, above: usize) -> usize {
            assert!(above < 8, "{} nests too deep", schema.message(message).name);
            let below = schema.message(message).fields().filter_map(|f| match f.kind {
                Kind::Message(m) => Some(depth(schema, m, above + 1)),
                _ => None,
            });
            below.max().unwrap_or(0) + 1
        }
        let schema = Schema::get();
        let deepest = (0..schema.messages.len()).map(|m| depth(schema, m, 0)).max();
        assert!(deepest >= Some(5));
    }
}
