//! The memory of a program: what calls read from it and write to it.

use crate::bail;
use crate::errno::Result;

/// Memory of a program, by address. All or nothing is not promised of a write: as on Linux a part may be done.
pub trait Memory {
    /// # Errors
    /// EFAULT: not all of it can be read.
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()>;

    /// # Errors
    /// EFAULT: not all of it can be written.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<()>;
}

/// Bytes that a page has at least on all architectures: a read that stays within one meets no border.
const PAGE: u64 = 4096;

impl dyn Memory + '_ {
    fn array<const N: usize>(&self, addr: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// # Errors
    /// EFAULT
    pub fn u32(&self, addr: u64) -> Result<u32> {
        Ok(u32::from_ne_bytes(self.array(addr)?))
    }

    /// # Errors
    /// EFAULT
    pub fn u64(&self, addr: u64) -> Result<u64> {
        Ok(u64::from_ne_bytes(self.array(addr)?))
    }

    /// # Errors
    /// EFAULT
    pub fn bytes(&self, addr: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        if length > 0 {
            self.read(addr, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// What stands before the next 0 byte, at most `max` bytes (`strncpy_from_user`).
    ///
    /// # Errors
    /// EFAULT
    pub fn string(&self, addr: u64, max: usize) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < max {
            let at = addr.wrapping_add(text.len() as u64);
            let length = usize::try_from(PAGE - at % PAGE).unwrap_or(max).min(max - text.len());
            let piece = self.bytes(at, length)?;
            if let Some(end) = piece.iter().position(|&byte| byte == 0) {
                text.extend(&piece[..end]);
                return Ok(text);
            }
            text.extend(piece);
        }
        Ok(text)
    }

    /// A path (`getname`).
    ///
    /// # Errors
    /// EFAULT; ENAMETOOLONG: 4096 bytes or more.
    pub fn path(&self, addr: u64) -> Result<Vec<u8>> {
        const PATH_MAX: usize = 4096;
        let path = self.string(addr, PATH_MAX)?;
        if path.len() == PATH_MAX {
            bail!(ENAMETOOLONG, "the path has {} bytes or more", PATH_MAX);
        }
        Ok(path)
    }

    /// # Errors
    /// EFAULT
    pub fn put_u32(&mut self, addr: u64, value: u32) -> Result<()> {
        self.write(addr, &value.to_ne_bytes())
    }
}

/// Pieces of memory for tests.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces(std::collections::BTreeMap<u64, Vec<u8>>);

#[cfg(test)]
impl Pieces {
    pub(super) fn with(mut self, addr: u64, bytes: &[u8]) -> Pieces {
        self.0.insert(addr, bytes.to_vec());
        self
    }

    /// The piece that has all of these bytes, and where they begin in it.
    fn at(&self, addr: u64, length: usize) -> Result<(u64, usize)> {
        let piece = self.0.range(..=addr).next_back();
        match piece.map(|(&start, bytes)| (start, (addr - start) as usize, bytes.len())) {
            Some((start, offset, size)) if offset + length <= size => Ok((start, offset)),
            _ => bail!(EFAULT, "no memory at {}", addr),
        }
    }
}

#[cfg(test)]
impl Memory for Pieces {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
        let (start, offset) = self.at(addr, bytes.len())?;
        bytes.copy_from_slice(&self.0[&start][offset..offset + bytes.len()]);
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        let (start, offset) = self.at(addr, bytes.len())?;
        let piece = self.0.get_mut(&start).into_iter().flatten().skip(offset);
        piece.zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}
