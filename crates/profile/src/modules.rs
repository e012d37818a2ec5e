//! What code is loaded: the program, its libraries, and the page of code that the kernel lends.
//!
//! The list comes from `/proc/self/maps` and the files themselves. `dl_iterate_phdr` would tell the same, but holds a
//! lock of the loader while it does.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;
use norn_base::{Error, Result};
use object::{Object, ObjectSection, ObjectSegment};

/// The name of the kernel's code in the list of mappings.
const KERNEL_CODE: &str = "[vdso]";

/// One loaded file.
pub(crate) struct Module {
    /// Its path, or what stands for one.
    pub(crate) path: String,
    /// Where its code and data are in memory.
    pub(crate) addresses: Range<u64>,
    /// What its own addresses are shifted by: `address in memory = address in the file + bias`, modulo 2^64.
    pub(crate) bias: u64,
    /// The file.
    pub(crate) image: Image,
}

/// The bytes of a file, or of the kernel's code.
#[derive(Clone)]
pub(crate) enum Image {
    File(Arc<Mmap>),
    Copy(Arc<[u8]>),
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(map) => map,
            Self::Copy(bytes) => bytes,
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::Copy(Arc::default())
    }
}

/// A part of an image, which it keeps.
#[derive(Default)]
pub(crate) struct Section {
    image: Image,
    range: Range<usize>,
}

impl Deref for Section {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.image[self.range.clone()]
    }
}

impl Module {
    /// A section by name: its address in the file, and its bytes.
    pub(crate) fn section(&self, name: &str) -> Option<(Range<u64>, Section)> {
        let object = object::File::parse(&*self.image).ok()?;
        let section = object.section_by_name(name)?;
        let (offset, len) = section.file_range()?;
        let start = usize::try_from(offset).ok()?;
        let range = start..start.checked_add(usize::try_from(len).ok()?)?;
        self.image.get(range.clone())?;
        let addresses = section.address()..section.address().checked_add(section.size())?;
        Some((addresses, Section { image: self.image.clone(), range }))
    }

    /// A module whose image can be read.
    fn open(path: &str, mapped: &Mapped, program: Option<&str>) -> Option<Self> {
        let image = if path == KERNEL_CODE {
            read_kernel_code(&mapped.addresses)?
        } else {
            // The program itself may have been replaced on disk; this link still leads to what runs.
            let file = File::open(if program == Some(path) { "/proc/self/exe" } else { path }).ok()?;
            map_file(&file)?
        };
        let first = object::File::parse(&*image).ok()?.segments().map(|segment| segment_start(&segment)).min()?;
        let bias = mapped.start_of_file?.wrapping_sub(first);
        Some(Self { path: path.to_owned(), addresses: mapped.addresses.clone(), bias, image })
    }
}

/// Where the page of a segment begins at whose start the file's first byte lies.
fn segment_start<'data>(segment: &impl ObjectSegment<'data>) -> u64 {
    segment.address().wrapping_sub(segment.file_range().0)
}

#[expect(unsafe_code, reason = "mapping a file")]
fn map_file(file: &File) -> Option<Image> {
    // SAFETY: these are files that the process executes. The kernel refuses to write to the program, and libraries are
    // replaced by renaming: whoever overwrites one in place breaks the code that runs, too.
    let map = unsafe { Mmap::map(file) }.ok()?;
    Some(Image::File(Arc::new(map)))
}

/// Copies the kernel's code, whose addresses are within this process.
fn read_kernel_code(addresses: &Range<u64>) -> Option<Image> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(addresses.end - addresses.start).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, addresses.start).ok()?;
    Some(Image::Copy(bytes.into()))
}

/// All that is loaded now and has code, by address.
///
/// Fails if the list of mappings cannot be read; a file that cannot be read is left out.
pub(crate) fn loaded() -> Result<Vec<Module>> {
    let maps = std::fs::read_to_string("/proc/self/maps")
        .map_err(|error| Error::internal("profiles need /proc/self/maps").with_source(error))?;
    let program = std::fs::read_link("/proc/self/exe").ok();
    let program = program.as_deref().and_then(|path| path.to_str());
    let mut modules: Vec<Module> = mapped_files(&maps)
        .iter()
        .filter(|(_, mapped)| mapped.is_code)
        .filter_map(|(path, mapped)| Module::open(path, mapped, program))
        .collect();
    modules.sort_by_key(|module| module.addresses.start);
    Ok(modules)
}

/// Where a file lies in memory.
#[derive(Debug, PartialEq, Eq)]
struct Mapped {
    addresses: Range<u64>,
    /// The address of the file's first byte.
    start_of_file: Option<u64>,
    is_code: bool,
}

/// Source: Linux `proc_pid_maps(5)`.
fn mapped_files(maps: &str) -> BTreeMap<&str, Mapped> {
    let mut files: BTreeMap<&str, Mapped> = BTreeMap::new();
    for (path, range, offset, is_code) in maps.lines().filter_map(parse_mapping) {
        let start_of_file = (offset == 0).then_some(range.start);
        match files.get_mut(path) {
            Some(file) => {
                file.addresses = file.addresses.start.min(range.start)..file.addresses.end.max(range.end);
                file.start_of_file = file.start_of_file.or(start_of_file);
                file.is_code |= is_code;
            }
            None => drop(files.insert(path, Mapped { addresses: range, start_of_file, is_code })),
        }
    }
    files
}

/// `start-end permissions offset device inode path`; mappings without a file have no path, or one in brackets.
fn parse_mapping(line: &str) -> Option<(&str, Range<u64>, u64, bool)> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let path = fields.nth(2)?.trim_start();
    if !path.starts_with('/') && path != KERNEL_CODE {
        return None;
    }
    let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    Some((path, range, offset, permissions.contains('x')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_one_file_are_one_module() {
        let maps = "1000-2000 r--p 00000000 08:01 7                          /bin/a b\n\
                    2000-5000 r-xp 00001000 08:01 7                          /bin/a b\n\
                    5000-6000 rw-p 00000000 00:00 0 \n\
                    7000-8000 rw-p 00000000 00:00 0                          [stack]\n\
                    9000-a000 r-xp 00000000 00:00 0                          [vdso]\n\
                    nonsense\n";
        let file = Mapped { addresses: 0x1000..0x5000, start_of_file: Some(0x1000), is_code: true };
        let kernel = Mapped { addresses: 0x9000..0xa000, start_of_file: Some(0x9000), is_code: true };
        assert_eq!(mapped_files(maps), BTreeMap::from([("/bin/a b", file), ("[vdso]", kernel)]));
    }

    #[test]
    fn this_program_has_tables_to_unwind_by() {
        let modules = loaded().unwrap();
        let here = this_program_has_tables_to_unwind_by as fn() as usize as u64;
        let own = modules.iter().find(|module| module.addresses.contains(&here)).unwrap();
        let (_, table) = own.section(".eh_frame").unwrap();
        assert!(!table.is_empty());
        assert!(own.section(".no_such_section").is_none());
    }
}
