//! MPI, loaded at run time: three binary interfaces behind one safe face.
//!
//! Open MPI's handles are addresses of its own objects; those of MPICH and its kin (Intel MPI, MVAPICH, Cray) and of the
//! standard interface of MPI 5 are fixed numbers. All travel as machine words, of which the library takes what it needs.

#![allow(unsafe_code, reason = "functions of a library loaded at run time")]

use std::{
    ffi::{c_char, c_int, c_void},
    mem,
};

use libloading::{Library, os::unix};

use super::CommError;

type Handle = usize;

/// The constants of a binary interface.
struct Constants {
    world: Handle,
    byte: Handle,
    errors_return: Handle,
    status_ignore: usize,
    thread_funneled: c_int,
}

const MPICH: Constants = Constants {
    world: 0x4400_0000,
    byte: 0x4c00_010d,
    errors_return: 0x5400_0001,
    status_ignore: 1,
    thread_funneled: 1,
};

const STANDARD: Constants =
    Constants { world: 0x101, byte: 0x247, errors_return: 0x143, status_ignore: 0, thread_funneled: 1024 };

/// The longest text that any of them gives.
const LONGEST_TEXT: usize = 8192;

macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($arg:ty),*);)*) => {
        /// The functions that are used.
        struct Functions {
            $($name: unsafe extern "C" fn($($arg),*) -> c_int,)*
        }

        impl Functions {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of the MPI standard, with every handle passed as a word.
                unsafe { Ok(Self { $($name: *library.get($symbol)?,)* }) }
            }
        }
    };
}

functions! {
    abort = b"MPI_Abort": fn(Handle, c_int);
    comm_dup = b"MPI_Comm_dup": fn(Handle, *mut Handle);
    comm_rank = b"MPI_Comm_rank": fn(Handle, *mut c_int);
    comm_set_errhandler = b"MPI_Comm_set_errhandler": fn(Handle, Handle);
    comm_size = b"MPI_Comm_size": fn(Handle, *mut c_int);
    error_string = b"MPI_Error_string": fn(c_int, *mut c_char, *mut c_int);
    finalize = b"MPI_Finalize": fn();
    get_library_version = b"MPI_Get_library_version": fn(*mut c_char, *mut c_int);
    iallgather = b"MPI_Iallgather": fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, Handle, *mut Handle);
    ialltoall = b"MPI_Ialltoall": fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, Handle, *mut Handle);
    ibcast = b"MPI_Ibcast": fn(*mut c_void, c_int, Handle, c_int, Handle, *mut Handle);
    igather = b"MPI_Igather": fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, c_int, Handle, *mut Handle);
    init_thread = b"MPI_Init_thread": fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    test = b"MPI_Test": fn(*mut Handle, *mut c_int, usize);
}

/// A running MPI. Only the thread that started it uses it.
pub struct Mpi {
    functions: Functions,
    constants: Constants,
    /// All ranks twice: what goes over one never waits for what goes over the other.
    channels: [Handle; 2],
    rank: usize,
    size: usize,
    version: String,
    /// Never closed: MPI leaves threads and exit handlers behind.
    _library: mem::ManuallyDrop<Library>,
}

/// Which of the two.
#[derive(Clone, Copy)]
pub enum Channel {
    First,
    Second,
}

impl Mpi {
    /// Loads the first library of the list that is there, and starts MPI.
    pub fn start(libraries: &[String]) -> Result<Self, CommError> {
        let (library, name) = load(libraries)?;
        let constants = constants(&library, name);
        let functions = Functions::find(&library).map_err(|e| CommError::Load(e.to_string()))?;
        let mut mpi = Self {
            channels: [constants.world; 2],
            functions,
            constants,
            rank: 0,
            size: 1,
            version: String::new(),
            _library: mem::ManuallyDrop::new(library),
        };
        mpi.init()?;
        Ok(mpi)
    }

    fn init(&mut self) -> Result<(), CommError> {
        let (f, world) = (&self.functions, self.constants.world);
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        let (mut first, mut second) = (0, 0);
        // SAFETY: MPI is started once, here; null arguments are allowed, and all outputs live through the calls.
        unsafe {
            let arguments = (std::ptr::null_mut(), std::ptr::null_mut());
            let wanted = self.constants.thread_funneled;
            self.check("MPI_Init_thread", (f.init_thread)(arguments.0, arguments.1, wanted, &mut provided))?;
            self.check(
                "MPI_Comm_set_errhandler",
                (f.comm_set_errhandler)(world, self.constants.errors_return),
            )?;
            self.check("MPI_Comm_rank", (f.comm_rank)(world, &mut rank))?;
            self.check("MPI_Comm_size", (f.comm_size)(world, &mut size))?;
            self.check("MPI_Comm_dup", (f.comm_dup)(world, &mut first))?;
            self.check("MPI_Comm_dup", (f.comm_dup)(world, &mut second))?;
        }
        // SAFETY: the buffer is as long as any implementation's texts.
        self.version = self.text(|text, len| unsafe { (f.get_library_version)(text, len) });
        self.channels = [first, second];
        (self.rank, self.size) = (rank.max(0) as usize, size.max(1) as usize);
        Ok(())
    }

    /// This process's rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// All ranks.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What the library calls itself, without the details: `Open MPI v4.1.4`, `MPICH Version: 4.0.2`.
    pub fn library(&self) -> String {
        let first = self.version.lines().next().unwrap_or_default();
        let name = first.split(',').next().unwrap_or_default();
        name.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Leaves MPI in good order; all ranks do.
    pub fn leave(&self) {
        // SAFETY: nothing is under way.
        unsafe { (self.functions.finalize)() };
    }

    /// Ends all ranks.
    pub fn abort(&self, status: i32) {
        // SAFETY: allowed at any time after the start.
        unsafe { (self.functions.abort)(self.constants.world, status) };
    }

    /// Rank `k`'s bytes become the part `k` of everybody's.
    pub fn all_gather<T: Plain>(&self, channel: Channel, send: Vec<T>) -> Result<Pending<T>, CommError> {
        let receive = vec![T::default(); send.len() * self.size];
        let mut pending = Pending::new(send, receive);
        let count = bytes::<T>(pending.send.len())?;
        let (f, byte) = (&self.functions, self.constants.byte);
        let over = self.channels[channel as usize];
        // SAFETY: `Pending` keeps both buffers where they are until the operation is done.
        let code = unsafe {
            let (send, receive) = (pending.send.as_ptr().cast(), pending.receive.as_mut_ptr().cast());
            (f.iallgather)(send, count, byte, receive, count, byte, over, &mut pending.request)
        };
        self.started("MPI_Iallgather", code, pending)
    }

    /// Rank `k`'s bytes become the part `k` of rank 0's; the others receive nothing.
    pub fn collect(&self, send: Vec<u8>) -> Result<Pending<u8>, CommError> {
        let receive = vec![0; if self.rank == 0 { send.len() * self.size } else { 0 }];
        let mut pending = Pending::new(send, receive);
        let count = bytes::<u8>(pending.send.len())?;
        let (f, byte) = (&self.functions, self.constants.byte);
        let over = self.channels[Channel::First as usize];
        // SAFETY: as above.
        let code = unsafe {
            let (send, receive) = (pending.send.as_ptr().cast(), pending.receive.as_mut_ptr().cast());
            (f.igather)(send, count, byte, receive, count, byte, 0, over, &mut pending.request)
        };
        self.started("MPI_Igather", code, pending)
    }

    /// Part `k` of `send` goes to rank `k`; part `k` of what is received comes from rank `k`.
    pub fn all_to_all<T: Plain>(&self, send: Vec<T>) -> Result<Pending<T>, CommError> {
        let receive = vec![T::default(); send.len()];
        let mut pending = Pending::new(send, receive);
        let count = bytes::<T>(pending.send.len() / self.size)?;
        let (f, byte) = (&self.functions, self.constants.byte);
        let over = self.channels[Channel::First as usize];
        // SAFETY: as above.
        let code = unsafe {
            let (send, receive) = (pending.send.as_ptr().cast(), pending.receive.as_mut_ptr().cast());
            (f.ialltoall)(send, count, byte, receive, count, byte, over, &mut pending.request)
        };
        self.started("MPI_Ialltoall", code, pending)
    }

    /// Rank 0's bytes replace everybody's.
    pub fn broadcast(&self, values: Vec<u8>) -> Result<Pending<u8>, CommError> {
        let mut pending = Pending::new(Vec::new(), values);
        let count = bytes::<u8>(pending.receive.len())?;
        let (f, byte) = (&self.functions, self.constants.byte);
        let over = self.channels[Channel::First as usize];
        // SAFETY: as above.
        let code = unsafe {
            let values = pending.receive.as_mut_ptr().cast();
            (f.ibcast)(values, count, byte, 0, over, &mut pending.request)
        };
        self.started("MPI_Ibcast", code, pending)
    }

    fn started<T>(
        &self,
        function: &'static str,
        code: c_int,
        mut pending: Pending<T>,
    ) -> Result<Pending<T>, CommError> {
        pending.under_way = code == 0;
        self.check(function, code).map(|()| pending)
    }

    fn check(&self, function: &'static str, code: c_int) -> Result<(), CommError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the buffer is as long as any implementation's texts.
        let reason = self.text(|text, len| unsafe { (self.functions.error_string)(code, text, len) });
        Err(CommError::Call { function, reason })
    }

    fn text(&self, fill: impl FnOnce(*mut c_char, *mut c_int) -> c_int) -> String {
        let mut text = vec![0u8; LONGEST_TEXT + 1];
        let mut len = 0;
        fill(text.as_mut_ptr().cast(), &mut len);
        text.truncate(usize::try_from(len).unwrap_or(0).min(LONGEST_TEXT));
        String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_owned()
    }
}

/// Values whose every bit pattern is one.
pub trait Plain: Copy + Default {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for f32 {}

/// How many bytes so many values have, as MPI counts.
fn bytes<T>(count: usize) -> Result<c_int, CommError> {
    let bytes = count.checked_mul(size_of::<T>()).and_then(|b| c_int::try_from(b).ok());
    bytes.ok_or_else(|| CommError::Load(format!("{count} values are too many for one exchange")))
}

/// An operation under way, and the memory that it uses.
pub struct Pending<T> {
    send: Vec<T>,
    receive: Vec<T>,
    request: Handle,
    under_way: bool,
}

impl<T> Pending<T> {
    fn new(send: Vec<T>, receive: Vec<T>) -> Self {
        Self { send, receive, request: 0, under_way: false }
    }

    /// Whether it is done, and how it ended.
    pub fn poll(&mut self, mpi: &Mpi) -> Option<Result<(), CommError>> {
        if !self.under_way {
            return Some(Ok(()));
        }
        let mut done = 0;
        // SAFETY: the request is one that MPI gave and that has not ended.
        let code = unsafe { (mpi.functions.test)(&mut self.request, &mut done, mpi.constants.status_ignore) };
        if let Err(error) = mpi.check("MPI_Test", code) {
            return Some(Err(error));
        }
        self.under_way = done == 0;
        (!self.under_way).then_some(Ok(()))
    }

    /// What was received, once it is done.
    pub fn take(&mut self) -> Vec<T> {
        mem::take(&mut self.receive)
    }
}

impl<T> Drop for Pending<T> {
    /// MPI may still write to the memory of an operation that has not ended: it is then never freed.
    fn drop(&mut self) {
        if self.under_way {
            mem::forget((mem::take(&mut self.send), mem::take(&mut self.receive)));
        }
    }
}

/// The first library of the list that is there, and its name.
fn load(names: &[String]) -> Result<(Library, &str), CommError> {
    let mut problems = Vec::new();
    for name in names {
        // SAFETY: loading runs the library's initializers; it is the MPI that the user's launcher belongs to. Its parts
        // look symbols up in it, so these must be global.
        match unsafe { unix::Library::open(Some(name), unix::RTLD_NOW | unix::RTLD_GLOBAL) } {
            Ok(library) => return Ok((library.into(), name)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Err(CommError::Load(format!("{}; CNNCTL_MPI_LIB names another library", problems.join("; "))))
}

/// Which binary interface the library of this name has.
fn constants(library: &Library, name: &str) -> Constants {
    let address = |name: &str| {
        // SAFETY: only the address is taken.
        unsafe { library.get::<*const c_void>(name.as_bytes()) }.ok().map(|symbol| *symbol as Handle)
    };
    if name.contains("mpi_abi") {
        return STANDARD;
    }
    match ["ompi_mpi_comm_world", "ompi_mpi_byte", "ompi_mpi_errors_return"].map(address) {
        [Some(world), Some(byte), Some(errors_return)] => {
            Constants { world, byte, errors_return, status_ignore: 0, thread_funneled: 1 }
        }
        _ => MPICH,
    }
}
