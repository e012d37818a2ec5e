//! From addresses of code to the functions that it was compiled from.
//!
//! With line tables, an address gives all functions that were inlined there, with file and line; without, the one
//! function of the symbol table.

use std::collections::HashMap;

use addr2line::gimli;
use norn_base::Result;
use object::{Object, ObjectSection};

use crate::modules::{self, Module};

/// A function at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name with its path, demangled, without the hash.
    pub(crate) name: String,
    /// Its source file; empty if unknown.
    pub(crate) file: String,
    /// The line in it; zero if unknown.
    pub(crate) line: u32,
}

/// What is known of the code at a set of addresses.
pub(crate) struct Symbols {
    pub(crate) modules: Vec<Module>,
    functions: HashMap<u64, Vec<Function>>,
}

impl Symbols {
    /// Looks up addresses in what is loaded now.
    ///
    /// - `addresses`: any; duplicates cost nothing but time.
    /// - Cost: reads the symbol tables of the modules that hold an address, and line tables where there are some:
    ///   tens of milliseconds to a second.
    pub(crate) fn of(addresses: impl Iterator<Item = u64>) -> Result<Self> {
        let modules = modules::loaded()?;
        let mut by_module: Vec<Vec<u64>> = vec![Vec::new(); modules.len()];
        for address in addresses {
            if let Some(index) = modules.iter().position(|module| module.addresses.contains(&address)) {
                by_module[index].push(address);
            }
        }
        let mut functions = HashMap::new();
        for (module, addresses) in modules.iter().zip(&mut by_module) {
            addresses.sort_unstable();
            addresses.dedup();
            if !addresses.is_empty() {
                resolve(module, addresses, &mut functions);
            }
        }
        Ok(Self { modules, functions })
    }

    /// The functions at an address, innermost first; empty if none is known.
    pub(crate) fn functions(&self, address: u64) -> &[Function] {
        self.functions.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn resolve(module: &Module, addresses: &[u64], functions: &mut HashMap<u64, Vec<Function>>) {
    let Ok(object) = object::File::parse(&*module.image) else { return };
    let lines = line_tables(&object);
    let mut symbols = object.symbol_map();
    if symbols.symbols().is_empty() {
        symbols = object::SymbolMap::new(dynamic_symbols(&object));
    }
    for &address in addresses {
        let in_file = address.wrapping_sub(module.bias);
        let mut found = lines.as_ref().map_or_else(Vec::new, |lines| inlined(lines, in_file));
        if let Some(symbol) = symbols.containing(in_file) {
            let name = demangle(symbol.name());
            // Line tables alone have names without paths; the symbol is that of the outermost function, with its path.
            match found.last_mut() {
                Some(outermost) => outermost.name = name,
                None => found.push(Function { name, file: String::new(), line: 0 }),
            }
        }
        functions.insert(address, found);
    }
}

/// Libraries of the system are delivered with the names of what they export, and nothing else.
fn dynamic_symbols<'data>(object: &object::File<'data>) -> Vec<object::SymbolMapName<'data>> {
    use object::ObjectSymbol;
    let functions = object.dynamic_symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text);
    functions
        .filter_map(|symbol| Some(object::SymbolMapName::new(symbol.address(), symbol.size(), symbol.name().ok()?)))
        .collect()
}

type Lines<'data> = addr2line::Context<gimli::EndianSlice<'data, gimli::LittleEndian>>;

/// The line tables of a module; none if it was built without, or if they are compressed.
fn line_tables<'data>(object: &object::File<'data>) -> Option<Lines<'data>> {
    object.section_by_name(".debug_line")?;
    let load = |id: gimli::SectionId| {
        let section = object.section_by_name(id.name());
        let data = section.and_then(|section| section.data().ok()).unwrap_or_default();
        Ok::<_, gimli::Error>(gimli::EndianSlice::new(data, gimli::LittleEndian))
    };
    addr2line::Context::from_dwarf(gimli::Dwarf::load(load).ok()?).ok()
}

/// All functions that were inlined at an address of the file, innermost first.
fn inlined(lines: &Lines<'_>, in_file: u64) -> Vec<Function> {
    let mut functions = Vec::new();
    let Ok(mut frames) = lines.find_frames(in_file).skip_all_loads() else { return functions };
    while let Ok(Some(frame)) = frames.next() {
        let Some(name) = frame.function.as_ref().and_then(|function| function.raw_name().ok()) else { continue };
        let (file, line) = frame.location.map_or((None, None), |location| (location.file, location.line));
        functions.push(Function {
            name: demangle(&name),
            file: file.unwrap_or_default().to_owned(),
            line: line.unwrap_or_default(),
        });
    }
    functions
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// The outermost function at each address, for tests.
#[cfg(test)]
pub(crate) fn names_of(addresses: &[u64]) -> Vec<String> {
    let symbols = Symbols::of(addresses.iter().copied()).unwrap();
    let name = |address: &u64| symbols.functions(*address).last().map_or_else(String::new, |last| last.name.clone());
    addresses.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable() {
        assert_eq!(demangle("_ZN4norn4main17h0123456789abcdefE"), "norn::main");
        assert_eq!(demangle("memcpy"), "memcpy");
    }

    #[test]
    fn functions_have_names_and_nothing_else_has() {
        let here = functions_have_names_and_nothing_else_has as fn() as usize as u64;
        let symbols = Symbols::of([here, 0].into_iter()).unwrap();
        let names: Vec<&str> = symbols.functions(here).iter().map(|function| function.name.as_str()).collect();
        assert!(names.iter().any(|name| name.contains("functions_have_names")), "{names:?}");
        assert_eq!(symbols.functions(0), []);
    }
}
