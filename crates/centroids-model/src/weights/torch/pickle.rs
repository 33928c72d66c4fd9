//! The pickle machine, as far as dictionaries of tensors need it (protocols 2 to 5). What a training
//! program keeps beside them is walked through and not made: objects of unknown classes are empty
//! shells, and a call is followed only where the function is known to make a plain value.

use std::borrow::Cow;
use std::collections::HashMap;

use super::object::{Function, Id, Instance, Object};
use super::view::{Storage, View};

/// Instructions, and items they copy. A tensor takes about 40: room for 6,500 tensors, and a bound
/// on memory.
const MAX_WORK: usize = 1 << 18;

/// The objects of one pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle off the front of `input`.
    ///
    /// # Errors
    /// Whatever a dictionary of tensors would not hold, an incomplete or a contradictory pickle.
    pub(super) fn read(input: &mut &'a [u8]) -> Result<Pickle<'a>, String> {
        Pickle::read_with(input, &HashMap::new())
    }

    /// [`Pickle::read`] of a pickle that refers to `tensors` by key.
    pub(super) fn read_with(
        input: &mut &'a [u8],
        tensors: &HashMap<String, View<'a>>,
    ) -> Result<Pickle<'a>, String> {
        let mut machine = Machine {
            input,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            tensors,
            work: 0,
        };
        while !machine.step()? {
            machine.charge(1)?;
        }
        let root = machine.pop()?;
        Ok(Pickle { objects: machine.objects, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0 as usize]
    }

    pub(super) fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }
}

struct Machine<'i, 'a> {
    input: &'i mut &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which tuples and batches of items begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    tensors: &'i HashMap<String, View<'a>>,
    work: usize,
}

impl<'a> Machine<'_, 'a> {
    /// Follows one instruction; true at the end of the pickle.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            b'.' => return Ok(true),
            0x80 => self.protocol()?,
            0x95 => self.skip_frame_length()?,
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Bool(true)),
            0x89 => self.push(Object::Bool(false)),
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            opcode @ (b'K' | b'M' | b'J' | 0x8a | b'G') => self.number(opcode)?,
            opcode @ (b'X' | 0x8c | b'T' | b'U') => self.text(opcode)?,
            opcode @ (b'B' | b'C') => self.byte_string(opcode)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            opcode @ 0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84))?,
            b'q' => {
                let key = u32::from(self.byte()?);
                self.remember(key)?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = u32::from(self.byte()?);
                self.recall(key)?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::of_name(module, name));
            }
            0x93 => self.stack_global()?,
            0x81 => self.new_object()?,
            opcode @ (b's' | b'u') => self.set_items(opcode == b'u')?,
            opcode @ (b'a' | b'e') => self.append(opcode == b'e')?,
            b'R' => self.call()?,
            b'b' => self.ignore_state()?,
            b'Q' => self.referred()?,
            other => {
                return Err(format!(
                    "has pickle instruction {other:#04x}, which no file of weights needs, and is \
                     refused; nothing was run"
                ));
            }
        }
        Ok(false)
    }

    fn charge(&mut self, work: usize) -> Result<(), String> {
        self.work += work;
        if self.work <= MAX_WORK {
            Ok(())
        } else {
            Err("has a longer table of contents than any model's weights".to_owned())
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, tail) = self.input.split_first_chunk().ok_or_else(ends_early)?;
        *self.input = tail;
        Ok(*head)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (head, tail) = self.input.split_at_checked(len).ok_or_else(ends_early)?;
        *self.input = tail;
        Ok(head)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.input.iter().position(|&byte| byte == b'\n').ok_or_else(ends_early)?;
        let line = self.bytes(end)?;
        self.byte()?;
        utf8(line)
    }

    fn push(&mut self, object: Object<'a>) {
        let id = Id(self.objects.len() as u32); // at most one for each instruction
        self.objects.push(object);
        self.stack.push(id);
    }

    fn pop(&mut self) -> Result<Id, String> {
        match self.marks.last() {
            Some(mark) if *mark >= self.stack.len() => Err(broken()),
            _ => self.stack.pop().ok_or_else(broken),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(broken)?;
        Ok(self.stack.split_off(mark)) // nothing pops below a mark
    }

    /// The object on top of the stack, which stays there.
    fn top(&mut self) -> Result<&mut Object<'a>, String> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.objects[id.0 as usize])
    }

    fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0 as usize]
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(format!("has a pickle of protocol {other}, this version reads 2 to 5")),
        }
    }

    /// Frames say how far to read ahead; the file is in memory already.
    fn skip_frame_length(&mut self) -> Result<(), String> {
        self.array::<8>().map(|_| ())
    }

    fn number(&mut self, opcode: u8) -> Result<(), String> {
        let object = match opcode {
            b'K' => Object::Int(self.byte()?.into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            b'G' => Object::Float(f64::from_be_bytes(self.array()?)),
            _ => self.long()?,
        };
        self.push(object);
        Ok(())
    }

    /// Two's complement, little-endian, of any length.
    fn long(&mut self) -> Result<Object<'a>, String> {
        let len = self.byte()?.into();
        let digits = self.bytes(len)?;
        let negative = digits.last().is_some_and(|top| top & 0x80 != 0);
        let mut wide = if negative { [0xff; 16] } else { [0; 16] };
        let room = wide.get_mut(..len).ok_or(format!("has a whole number of {len} bytes"))?;
        room.copy_from_slice(digits);
        Ok(Object::Int(i128::from_le_bytes(wide)))
    }

    fn text(&mut self, opcode: u8) -> Result<(), String> {
        let len = match opcode {
            b'X' | b'T' => u32::from_le_bytes(self.array()?) as usize,
            _ => self.byte()?.into(),
        };
        let text = utf8(self.bytes(len)?)?;
        self.push(Object::Text(text));
        Ok(())
    }

    /// No tensor is made of bytes: they are passed over.
    fn byte_string(&mut self, opcode: u8) -> Result<(), String> {
        let len = match opcode {
            b'B' => u32::from_le_bytes(self.array()?) as usize,
            _ => self.byte()?.into(),
        };
        self.bytes(len)?;
        self.push(Object::None);
        Ok(())
    }

    fn short_tuple(&mut self, len: usize) -> Result<(), String> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = self.memo.get(&key).ok_or_else(broken)?;
        self.stack.push(*id);
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Object::Text(module), Object::Text(name)) = (self.get(module), self.get(name)) else {
            return Err(broken());
        };
        let object = Object::of_name(module, name);
        self.push(object);
        Ok(())
    }

    /// An object of a class, whose constructor is not run.
    fn new_object(&mut self) -> Result<(), String> {
        let (arguments, class) = (self.pop()?, self.pop()?);
        let object = match (self.get(class), self.get(arguments)) {
            (Object::Foreign(_), Object::Tuple(_)) => instance(class),
            (Object::Function(Function::OrderedDict), Object::Tuple(_)) => Object::Dict(Vec::new()),
            (other, _) => return Err(format!("makes an object of {other}")),
        };
        self.push(object);
        Ok(())
    }

    fn set_items(&mut self, many: bool) -> Result<(), String> {
        let items = if many {
            self.pop_to_mark()?
        } else {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        };
        let entries = match self.top()? {
            Object::Dict(entries) => entries,
            Object::Instance(instance) => &mut instance.entries,
            _ => return Err(broken()),
        };
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(broken());
        };
        entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn append(&mut self, many: bool) -> Result<(), String> {
        let items = if many { self.pop_to_mark()? } else { vec![self.pop()?] };
        match self.top()? {
            Object::List(list) => list.extend(items),
            Object::Instance(_) => {}
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// What the function would make of its arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Tuple(arguments) = self.get(arguments) else {
            return Err(broken());
        };
        let made = match (self.get(function), arguments.as_slice()) {
            (Object::Function(Function::OrderedDict), []) => Object::Dict(Vec::new()),
            (Object::Function(Function::OrderedDict), [pairs]) => {
                let entries = self.ordered_dict(*pairs)?;
                self.charge(entries.len())?;
                Object::Dict(entries)
            }
            (Object::Function(Function::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                self.tensor(*storage, *offset, *shape, *strides)?
            }
            (Object::Function(Function::RebuildParameter), [tensor, ..]) => {
                match self.get(*tensor) {
                    Object::Tensor(view) => Object::Tensor(view.clone()),
                    other => return Err(format!("has a parameter that is {other}")),
                }
            }
            (Object::Foreign(name), _) if name.makes_a_value() => instance(function),
            (Object::Foreign(name), _) => {
                return Err(format!(
                    "calls {name}, which no file of weights needs, and is refused; nothing was \
                     run. If it is a whole model, save its state_dict() instead"
                ));
            }
            (other, _) => return Err(format!("calls {other} with {} values", arguments.len())),
        };
        self.push(made);
        Ok(())
    }

    /// Python 2 wrote the pairs as an argument.
    fn ordered_dict(&self, pairs: Id) -> Result<Vec<(Id, Id)>, String> {
        let Object::List(pairs) = self.get(pairs) else {
            return Err(broken());
        };
        let pair = |id: &Id| match self.get(*id) {
            Object::List(pair) | Object::Tuple(pair) => match pair[..] {
                [key, value] => Ok((key, value)),
                _ => Err(broken()),
            },
            _ => Err(broken()),
        };
        pairs.iter().map(pair).collect()
    }

    fn tensor(
        &self,
        storage: Id,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> Result<Object<'a>, String> {
        let Object::Storage(storage) = self.get(storage) else {
            return Err(format!("has a tensor on {}", self.get(storage)));
        };
        let sizes = |id: Id| match self.get(id) {
            Object::Tuple(sizes) => sizes.iter().map(|&size| self.size(size)).collect(),
            other => Err(format!("has a tensor whose shape or strides are {other}")),
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (sizes(shape)?, sizes(strides)?);
        let view = View::new(storage.as_ref().clone(), self.size(offset)?, shape, strides)?;
        Ok(Object::Tensor(Box::new(view)))
    }

    fn size(&self, id: Id) -> Result<usize, String> {
        match self.get(id) {
            Object::Int(size) => {
                usize::try_from(*size).map_err(|_| format!("has a tensor with a size of {size}"))
            }
            other => Err(format!("has a tensor with a size that is {other}")),
        }
    }

    /// Attributes of a dictionary (versions of its modules), of an old parameter (whether it is
    /// trained, and hooks) or of another program's object, of no use here.
    fn ignore_state(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let is_triple = matches!(self.get(state), Object::Tuple(state) if state.len() == 3);
        match self.top()? {
            Object::Dict(_) | Object::Instance(_) => Ok(()),
            Object::Tensor(_) if is_triple => Ok(()),
            other => Err(format!("changes the state of {other}")),
        }
    }

    /// What a persistent id stands for: a storage, or the key of a tensor.
    fn referred(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let object = match self.get(id) {
            Object::Tuple(parts) => Object::Storage(Box::new(self.storage(parts)?)),
            Object::Text(key) => {
                let view = self.tensors.get(*key).ok_or("refers to a tensor it does not hold")?;
                Object::Tensor(Box::new(view.clone()))
            }
            _ => return Err(broken()),
        };
        self.push(object);
        Ok(())
    }

    /// Of `("storage", type, key, device, elements)`, and `None` in old files.
    fn storage(&self, parts: &[Id]) -> Result<Storage<'a>, String> {
        let parts: Vec<&Object<'a>> = parts.iter().map(|&part| self.get(part)).collect();
        let [
            Object::Text("storage"),
            Object::ElementType(dtype),
            Object::Text(key),
            _,
            len,
            rest @ ..,
        ] = parts.as_slice()
        else {
            return Err("refers to something that is no storage".to_owned());
        };
        if !matches!(rest, [] | [Object::None]) {
            return Err(
                "has storages inside storages, as PyTorch before 0.4 wrote them; load and \
                        save it with a newer one"
                    .to_owned(),
            );
        }
        let len = match len {
            Object::Int(len) => usize::try_from(*len).ok(),
            _ => None,
        };
        let len = len.ok_or("has a storage of impossible length")?;
        Ok(Storage { key: Cow::Borrowed(*key), dtype: *dtype, len })
    }
}

fn instance<'a>(class: Id) -> Object<'a> {
    Object::Instance(Box::new(Instance { class, entries: Vec::new() }))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "has a text that is not UTF-8".to_owned())
}

pub(super) fn ends_early() -> String {
    "ends too early; copy or download it again".to_owned()
}

fn broken() -> String {
    "is broken: its pickle contradicts itself".to_owned()
}
