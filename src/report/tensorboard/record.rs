//! The frame of an event: TFRecord.

use prost::Message as _;

use super::proto::Event;

/// An event as its file holds it: length, its checksum, the message, its checksum.
pub fn frame(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(message.len() + 16);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(&length).to_le_bytes());
    frame.extend_from_slice(&message);
    frame.extend_from_slice(&checksum(&message).to_le_bytes());
    frame
}

/// CRC-32C, turned and shifted so that the checksum of bytes that hold checksums means something.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file's bytes, up to the first that is cut short.
///
/// # Errors
/// Says which event, from 0, has a wrong checksum or is none.
pub fn read(mut bytes: &[u8]) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let Some((check, rest)) = rest.split_first_chunk::<4>() else { break };
        let wrong = |what: &str| format!("event {}: {what}", events.len());
        if u32::from_le_bytes(*check) != checksum(length) {
            return Err(wrong("the length's checksum is wrong"));
        }
        let Some((message, rest)) = rest.split_at_checked(u64::from_le_bytes(*length) as usize) else {
            break;
        };
        let Some((check, rest)) = rest.split_first_chunk::<4>() else { break };
        if u32::from_le_bytes(*check) != checksum(message) {
            return Err(wrong("the checksum is wrong"));
        }
        events.push(Event::decode(message).map_err(|e| wrong(&e.to_string()))?);
        bytes = rest;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tensorboard::proto::event::What;

    #[test]
    fn a_frame_holds_what_tensorflow_writes() {
        // The first record of a file that TensorFlow wrote.
        let event = Event { wall_time: 1.0, step: 0, what: Some(What::FileVersion("brain.Event:2".into())) };
        let bytes = frame(&event);
        assert_eq!(bytes[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        // The checksum of that length, as in every file of TensorFlow's.
        assert_eq!(bytes[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(read(&bytes).unwrap(), std::slice::from_ref(&event));
        let two = [&bytes[..], &bytes].concat();
        assert_eq!(read(&two).unwrap().len(), 2);
        assert_eq!(read(&two[..two.len() - 1]).unwrap().len(), 1);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 4;
            assert!(read(&bad).is_err(), "byte {i}");
        }
    }
}
