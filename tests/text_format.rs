//! Random nets and solvers through the text format: printed and parsed they are the same again, and protobuf
//! text as prost-reflect reads and writes it, an implementation of its own, means the same to us.

use std::sync::LazyLock;

use cnnctl::config::proto::{DESCRIPTORS, NetParameter, SolverParameter};
use cnnctl::config::text::{parse, print};
use proptest::prelude::*;
use prost::{Message, Name};
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

/// In memory only, so neither printed nor taken from a text.
const UNSEEN: [&str; 2] = [ORIGIN, "cnnctl_array"];
const ORIGIN: &str = "cnnctl_origin";

/// Draws from a list of random bytes; all zero at its end, so that every drawing ends.
struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    fn roll(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    /// Of all sizes alike.
    fn bits(&mut self) -> u64 {
        let bits = u64::from_le_bytes(std::array::from_fn(|_| self.roll()));
        bits >> (self.roll() % 64)
    }
}

fn schema<M: Name>() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the schema"));
    POOL.get_message_by_name(&M::full_name()).expect("a message of the schema")
}

fn message(dice: &mut Dice<'_>, descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields().filter(|f| !UNSEEN.contains(&f.name())) {
        let must = field.cardinality() == Cardinality::Required;
        let chance = dice.roll();
        if !must && chance % 6 != 1 {
            continue;
        }
        let one = if field.is_list() {
            Value::List((0..1 + chance % 3).map(|_| value(dice, &field)).collect())
        } else {
            value(dice, &field)
        };
        message.set_field(&field, one);
    }
    message
}

fn value(dice: &mut Dice<'_>, field: &FieldDescriptor) -> Value {
    let length = dice.roll() % 8;
    match field.kind() {
        Kind::Bool => Value::Bool(dice.roll() % 2 == 1),
        Kind::Int32 => Value::I32(dice.bits() as i32),
        Kind::Int64 => Value::I64(dice.bits() as i64),
        Kind::Uint32 => Value::U32(dice.bits() as u32),
        Kind::Uint64 => Value::U64(dice.bits()),
        // NaN is not equal to itself.
        Kind::Float => {
            Value::F32(Some(f32::from_bits(dice.bits() as u32)).filter(|v| !v.is_nan()).unwrap_or(0.1))
        }
        Kind::Double => Value::F64(Some(f64::from_bits(dice.bits())).filter(|v| !v.is_nan()).unwrap_or(0.1)),
        Kind::String => {
            Value::String((0..length).filter_map(|_| char::from_u32(dice.bits() as u32)).collect())
        }
        Kind::Bytes => Value::Bytes((0..length).map(|_| dice.roll()).collect()),
        Kind::Enum(kind) => {
            let values: Vec<i32> = kind.values().map(|v| v.number()).collect();
            Value::EnumNumber(values[usize::from(dice.roll()) % values.len()])
        }
        Kind::Message(kind) => Value::Message(message(dice, &kind)),
        other => panic!("the schema has no {other:?}"),
    }
}

/// The binary message without the places of its layers.
fn placeless<M: Message + Name>(parsed: &M, descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message =
        DynamicMessage::decode(descriptor.clone(), parsed.encode_to_vec().as_slice()).expect("a message");
    forget_places(&mut message);
    message
}

fn forget_places(message: &mut DynamicMessage) {
    message.clear_field_by_name(ORIGIN);
    for (_, value) in message.fields_mut() {
        match value {
            Value::Message(inner) => forget_places(inner),
            Value::List(list) => {
                list.iter_mut().filter_map(Value::as_message_mut).for_each(forget_places);
            }
            _ => {}
        }
    }
}

fn same_again<M: Message + Name + Default>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let descriptor = schema::<M>();
    let drawn = message(&mut Dice(bytes.iter()), &descriptor);
    let text = print(&M::decode(drawn.encode_to_vec().as_slice()).expect("a message"));

    let ours = parse::<M>("m", text.as_str()).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
    prop_assert!(placeless(&ours.message, &descriptor) == drawn, "ours: {}", text);
    let theirs = DynamicMessage::parse_text_format(descriptor.clone(), &text);
    prop_assert!(theirs.as_ref().is_ok_and(|theirs| *theirs == drawn), "theirs: {:?}\n{}", theirs, text);

    let text = drawn.to_text_format();
    let ours = parse::<M>("m", text.as_str()).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
    prop_assert!(placeless(&ours.message, &descriptor) == drawn, "their text: {}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nets_are_the_same_again(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        same_again::<NetParameter>(&bytes)?;
    }

    #[test]
    fn solvers_are_the_same_again(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        same_again::<SolverParameter>(&bytes)?;
    }

    /// Whatever stands in a text, the parser ends and does not panic; and we agree with prost-reflect on
    /// whether it is a net, which names of enums without numbers and layers' places aside it is.
    #[test]
    fn pieces_of_nets_are_taken_or_refused_alike(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "layer", "name", "bottom", "state", "phase", "loss_weight", "input_dim", "force_backward", "{", "}", "{",
            "}", "<", ">", ":", ":", ":", "[", "]", ",", ";", "'a'", "\"b\"", "'\\101\\n'", "1", "-", "0x1f", "017",
            "08", "1.5", ".5", "1e3", "1f", "inf", "TEST", "true", "t", "#x\n", "\n", "\r\n", "'", "\\", "é",
        ]), 0..14)) {
        let text = pieces.join(" ");
        let descriptor = schema::<NetParameter>();
        let ours = parse::<NetParameter>("net", text.as_str()).map(|parsed| placeless(&parsed.message, &descriptor));
        let theirs = DynamicMessage::parse_text_format(descriptor, &text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}\nours: {:?}\ntheirs: {:?}", text, ours, theirs);
    }
}
