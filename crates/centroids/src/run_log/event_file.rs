//! Event files of TensorBoard: TFRecords of `Event` messages.
//!
//! ```text
//! record = length (u64) · masked CRC of the length (u32) · message · masked CRC of the message (u32)
//! ```
//! The messages are those of TensorFlow's `event.proto` and `summary.proto`, as far as scalars need
//! them.

use prost::Message;

use super::Line;
use super::crc32c::crc32c;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Unix seconds.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    /// In the first event of a file.
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// Optional so that a zero is written.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The file of these lines; its step is the epoch, from 0. With more lines it only grows.
pub(super) fn encode(lines: &[Line]) -> Vec<u8> {
    let version = Event { file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    let events = std::iter::once(version).chain(lines.iter().map(event));
    events.flat_map(|event| record(&event.encode_to_vec())).collect()
}

fn event(line: &Line) -> Event {
    let scalar = |(name, value): &(String, f64)| Scalar {
        tag: name.clone(),
        simple_value: Some(*value as f32),
    };
    Event {
        wall_time: line.time,
        step: line.epoch as i64,
        file_version: None,
        summary: Some(Summary { value: line.scalars.iter().map(scalar).collect() }),
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let checked = |bytes: &[u8]| [bytes, &masked(crc32c(bytes)).to_le_bytes()].concat();
    [checked(&length), checked(message)].concat()
}

/// TFRecord's disguise of a checksum, so that checksums of data with checksums in it do not
/// degenerate.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u64, scalars: &[(&str, f64)]) -> Line {
        let scalars = scalars.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Line { epoch, time: 1.5, seconds: 0.0, scalars }
    }

    /// Reads a file back, checksums and all.
    fn decode(mut file: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !file.is_empty() {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let (head, rest) = file.split_at(12);
            let (message, rest) = rest.split_at(length);
            let (check, rest) = rest.split_at(4);
            assert_eq!(head[8..], masked(crc32c(&head[..8])).to_le_bytes());
            assert_eq!(check, masked(crc32c(message)).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            file = rest;
        }
        events
    }

    #[test]
    fn what_was_written_is_read() {
        let lines = [line(0, &[("lr", 0.0), ("loss", 2.5)]), line(1, &[("mAP", 0.75)])];
        let events = decode(&encode(&lines));
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        let points = events[1..].iter().flat_map(|event| {
            let values = event.summary.iter().flat_map(|summary| &summary.value);
            values.map(|scalar| (event.step, scalar.tag.as_str(), scalar.simple_value))
        });
        let expected = [(0, "lr", Some(0.0)), (0, "loss", Some(2.5)), (1, "mAP", Some(0.75))];
        assert_eq!(points.collect::<Vec<_>>(), expected);
        assert_eq!(events[2].wall_time, 1.5);
    }

    /// By hand from the protocol's rules: field · 8 + kind, then the value.
    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let message = event(&line(3, &[("a", 1.0)])).encode_to_vec();
        let scalar = [10, 1, b'a', 21, 0, 0, 0x80, 0x3f];
        let summary = [&[42, 10, 10, 8][..], &scalar].concat();
        let expected = [&[9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 16, 3][..], &summary].concat();
        assert_eq!(message, expected);
    }

    #[test]
    fn more_lines_only_append() {
        let lines = [line(0, &[("a", 1.0)]), line(1, &[("a", 2.0)])];
        assert!(encode(&lines).starts_with(&encode(&lines[..1])));
    }
}
