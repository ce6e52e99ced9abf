//! Messages as a reflecting reader of the `.proto` files sees them: a second encoder, and JSON by
//! the protobuf mapping, which any language's library reads.

use std::path::Path;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    SerializeOptions, Value, bytes::Bytes,
};

/// The checked-in `.proto` files.
pub fn pool() -> DescriptorPool {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let set = protox::compile(["affiant/v1/statement.proto"], [proto]).unwrap();
    DescriptorPool::from_file_descriptor_set(set).unwrap()
}

/// The message of a kind: `host-event` is `HostEvent`.
pub fn of_kind(pool: &DescriptorPool, kind: &str) -> MessageDescriptor {
    let name: String = kind
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    named(pool, &name)
}

/// A message by its name.
pub fn named(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("affiant.v1.{name}"))
        .unwrap()
}

/// A message as JSON with the names of its fields; those that are absent are left out.
pub fn to_json(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap()
}

/// Reads it back.
pub fn from_json(message: MessageDescriptor, json: &serde_json::Value) -> DynamicMessage {
    DynamicMessage::deserialize(message, json.clone()).unwrap()
}

/// Decodes bytes.
pub fn decode(message: MessageDescriptor, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(message, bytes).unwrap()
}

/// The message with every field set to something that differs from field to field; once for each
/// alternative of its `oneof`, once where it has none.
pub fn filled(message: &MessageDescriptor) -> Vec<DynamicMessage> {
    let alternatives: Vec<_> = message
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
        .flat_map(|oneof: OneofDescriptor| oneof.fields().collect::<Vec<_>>())
        .collect();
    if alternatives.is_empty() {
        return vec![with(message, None)];
    }
    alternatives
        .iter()
        .map(|chosen| with(message, Some(chosen)))
        .collect()
}

fn with(message: &MessageDescriptor, chosen: Option<&FieldDescriptor>) -> DynamicMessage {
    let mut out = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let alternative = field
            .containing_oneof()
            .is_some_and(|oneof| !oneof.is_synthetic());
        if alternative && chosen != Some(&field) {
            continue;
        }
        let value = if field.is_list() {
            Value::List(vec![value(&field, 0), value(&field, 1)])
        } else {
            value(&field, 0)
        };
        out.set_field(&field, value);
    }
    out
}

fn value(field: &FieldDescriptor, element: u32) -> Value {
    let number = field.number() + element;
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Bytes => Value::Bytes(Bytes::from(vec![u8::try_from(number).unwrap(); 32])),
        Kind::Enum(of) => Value::EnumNumber(of.values().nth(1).unwrap().number()),
        Kind::Int32 => Value::I32(1),
        Kind::Message(of) => Value::Message(filled(&of).swap_remove(0)),
        Kind::String => Value::String(format!("{} {element} é", field.name())),
        Kind::Uint32 => Value::U32(number * 1_000),
        Kind::Uint64 => Value::U64(u64::from(number) * 10_000_000_000),
        other => panic!(
            "{} has a type that statements do not use: {other:?}",
            field.full_name()
        ),
    }
}
