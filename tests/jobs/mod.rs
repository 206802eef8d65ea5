//! What can happen to a job: it is killed, asked to stop, put back in the queue, left without disk space or without
//! a terminal, or it diverges. It must lose nothing and end in the same bytes, or stop with a clear word.

mod run;

mod batch;
mod disk;
mod divergence;
mod kill;
mod resume;
mod signals;
