//! What the launcher (mpirun, mpiexec, srun) tells its processes in their environment.

use super::CommError;

/// The ranks that a launcher has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// How many ranks.
    pub size: usize,
    /// This one's number.
    pub rank: usize,
    /// How many of them are on this machine, if it tells.
    pub local_size: Option<usize>,
    kind: Kind,
    named: Option<String>,
}

/// Whose launcher it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Open MPI's mpirun, or srun with PMIx.
    OpenMpi,
    /// That of MPICH and its kin, or srun with PMI-2.
    Mpich,
    /// Nobody's that we know: only `CNNCTL_MPI_LIB` tells.
    Unknown,
}

/// Reads the environment: `None` when no launcher has started several ranks.
///
/// # Errors
/// When several copies were started, but not as ranks of one MPI.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> Result<Option<Launch>, CommError> {
    let number = |name: &str| get(name).and_then(|v| v.trim().parse::<usize>().ok());
    let named = get("CNNCTL_MPI_LIB").filter(|name| !name.is_empty());
    // A plain batch script has the task counts of its job too; only a step has these two.
    let step = get("SLURM_STEP_ID").is_some() && get("SLURM_STEP_NUM_TASKS").is_some();
    let tasks = || number("SLURM_STEP_NUM_TASKS").filter(|_| step);
    let (kind, size, rank) = if get("OMPI_COMM_WORLD_SIZE").is_some() {
        (Kind::OpenMpi, number("OMPI_COMM_WORLD_SIZE"), number("OMPI_COMM_WORLD_RANK"))
    } else if get("PMI_RANK").is_some() || get("PMI_FD").is_some() {
        (Kind::Mpich, number("PMI_SIZE").or_else(tasks), number("PMI_RANK"))
    } else if get("PMIX_RANK").is_some() {
        (Kind::OpenMpi, tasks(), number("PMIX_RANK"))
    } else {
        (Kind::Unknown, tasks(), number("SLURM_PROCID"))
    };
    let (Some(size), Some(rank)) = (size, rank) else {
        return match kind {
            Kind::Unknown => Ok(None),
            _ => {
                Err(CommError::Launch("the MPI launcher does not tell how many ranks it has started".into()))
            }
        };
    };
    if size <= 1 {
        return Ok(None);
    }
    if kind == Kind::Unknown && named.is_none() {
        let message = format!(
            "srun has started {size} copies, but without MPI each would train for itself: use srun --mpi=pmix or \
             --mpi=pmi2, or one task"
        );
        return Err(CommError::Launch(message));
    }
    let local_size = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"].iter().find_map(|n| number(n));
    let local_size = local_size.or_else(|| number("SLURM_NTASKS_PER_NODE"));
    Ok(Some(Launch { size, rank, local_size, kind, named }))
}

impl Launch {
    /// The names under which its MPI may be found, the likeliest first.
    pub fn libraries(&self) -> Vec<String> {
        const OPEN_MPI: [&str; 2] = ["libmpi.so.40", "libmpi.so.80"];
        const MPICH: [&str; 4] = ["libmpi.so.12", "libmpich.so.12", "libmpi_cray.so.12", "libmpi_abi.so.1"];
        match (&self.named, self.kind) {
            (Some(name), _) => vec![name.clone()],
            (None, Kind::OpenMpi) => OPEN_MPI.map(String::from).to_vec(),
            (None, _) => MPICH.map(String::from).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect_in(variables: &[(&str, &str)]) -> Result<Option<Launch>, CommError> {
        let variables: std::collections::HashMap<_, _> = variables.iter().copied().collect();
        detect(|name| variables.get(name).map(|v| (*v).to_owned()))
    }

    #[test]
    fn launchers_are_told_apart() {
        let open = detect_in(&[
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_RANK", "3"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ]);
        let open = open.unwrap().unwrap();
        assert_eq!((open.size, open.rank, open.local_size, open.kind), (4, 3, Some(2), Kind::OpenMpi));
        assert_eq!(open.libraries()[0], "libmpi.so.40");
        let mpich =
            detect_in(&[("PMI_SIZE", "2"), ("PMI_RANK", "1"), ("MPI_LOCALNRANKS", "2")]).unwrap().unwrap();
        assert_eq!((mpich.size, mpich.rank, mpich.kind), (2, 1, Kind::Mpich));
        let pmix = [("PMIX_RANK", "1"), ("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "3")];
        let pmix = detect_in(&pmix).unwrap().unwrap();
        assert_eq!((pmix.size, pmix.rank, pmix.kind), (3, 1, Kind::OpenMpi));
    }

    #[test]
    fn one_rank_is_no_team() {
        assert_eq!(detect_in(&[]).unwrap(), None);
        assert_eq!(detect_in(&[("PMI_SIZE", "1"), ("PMI_RANK", "0")]).unwrap(), None);
        // A batch script sees its job's tasks, but is no step of several.
        assert_eq!(detect_in(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")]).unwrap(), None);
    }

    #[test]
    fn copies_without_mpi_are_refused() {
        let copies = [("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "2")];
        assert!(detect_in(&copies).unwrap_err().to_string().contains("srun has started 4 copies"));
        let named = [&copies[..], &[("CNNCTL_MPI_LIB", "/opt/mpi/libmpi.so")]].concat();
        assert_eq!(detect_in(&named).unwrap().unwrap().libraries(), ["/opt/mpi/libmpi.so"]);
        assert!(detect_in(&[("PMIX_RANK", "0")]).is_err());
    }
}
