//! How messages of netlink(7) are laid out: a header, a struct of the kind, attributes.

/// Bytes of `struct nlmsghdr`.
pub const HEADER_LEN: usize = 16;
/// Bytes of `struct nlattr`.
const ATTRIBUTE_LEN: usize = 4;
/// The rest of an attribute's type says how its value is laid out.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Flags of messages.
pub const NLM_F_REQUEST: u16 = 1;
pub const NLM_F_MULTI: u16 = 2;
pub const NLM_F_ACK: u16 = 4;
/// Each of the two bits asks for all there is.
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_CREATE: u16 = 0x400;
pub const NLM_F_CAPPED: u16 = 0x100;
pub const NLM_F_ACK_TLVS: u16 = 0x200;

/// `struct nlmsghdr`, but for the length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    /// The port of the sender, 0 for the kernel. In an answer, the port of the receiver.
    pub portid: u32,
}

impl Header {
    /// Whether it asks for all there is.
    pub fn is_dump(&self) -> bool {
        self.flags & NLM_F_DUMP != 0
    }

    /// Whether the kernel looks at it: kinds below 16 are those of messages about messages.
    pub fn is_request(&self) -> bool {
        const NLMSG_MIN_TYPE: u16 = 16;
        self.flags & NLM_F_REQUEST != 0 && self.kind >= NLMSG_MIN_TYPE
    }

    /// Whether success is told too.
    pub fn wants_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    /// `struct nlmsghdr`
    pub fn bytes(&self, length: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.seq.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.portid.to_ne_bytes());
        bytes
    }
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The messages of a datagram; what does not fit into it, and all behind, is no message (`netlink_rcv_skb`).
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        if length < HEADER_LEN || length > rest.len() {
            return None;
        }
        let header = Header {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            seq: u32_at(rest, 8)?,
            portid: u32_at(rest, 12)?,
        };
        let body = &rest[HEADER_LEN..length];
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((header, body))
    })
}

/// The attributes of a message or of another attribute: their types and values.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & NLA_TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_LEN..length)?;
        self.0 = &self.0[length.next_multiple_of(4).min(self.0.len())..];
        Some((kind, value))
    }
}

/// A message that is written.
#[derive(Debug)]
pub struct Message {
    header: Header,
    bytes: Vec<u8>,
}

impl Message {
    /// With the struct of its kind.
    pub fn new(header: Header, body: &[u8]) -> Message {
        Message { header, bytes: [&header.bytes(0)[..], body].concat() }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        // What is longer than an attribute can be is a value of nobody here: names and numbers.
        let length = u16::try_from(ATTRIBUTE_LEN + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes(value);
    }

    pub fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// A text with its 0 byte.
    pub fn text(&mut self, kind: u16, text: &[u8]) {
        self.attribute(kind, &[text, b"\0"].concat());
    }

    /// An attribute that is a list of others.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.attribute(kind, &[]);
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    pub fn finish(mut self) -> Vec<u8> {
        let header = self.header.bytes(self.bytes.len());
        self.bytes[..HEADER_LEN].copy_from_slice(&header);
        self.bytes
    }
}
