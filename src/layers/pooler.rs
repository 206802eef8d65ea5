//! Pooling of planes by any method, as `Pooling` and `SPP` both do it.

use super::{LayerError, Reads, Setup};
use crate::{
    config::proto::Phase,
    kernels::{
        pool::{self, Norm, Pool, Taken, Weights},
        random::Draw,
    },
};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Its largest element.
    Max,
    /// Its mean; padding counts as zeros.
    Mean,
    /// An element drawn in proportion to its value, in TEST the mean under those probabilities.
    Stochastic,
    /// The square root of its sum of squares.
    L2,
    /// Its mean weighted by distance from its centre; the standard deviation, or a quarter of the side.
    Gaussian(Option<f32>),
}

/// Pools planes by one method, and remembers which elements were taken.
pub struct Pooler {
    method: Method,
    /// Draws elements, for `Stochastic`.
    draws: bool,
    pool: Pool,
    weights: Weights,
    /// Which elements were taken, if anyone will ask.
    taken: Option<Taken>,
}

impl Pooler {
    /// Pools `pool` by `method`; `places` asks for them even if there will be no backward pass.
    pub fn new(method: Method, pool: Pool, setup: &Setup, places: bool) -> Self {
        let weights = match method {
            Method::Mean => Weights::even(&pool, Norm::Padded),
            Method::Gaussian(sigma) => {
                let sigma = |kernel| sigma.unwrap_or(kernel as f32 / 4.0);
                Weights::gaussian(&pool, &pool.axes.iter().map(|a| sigma(a.kernel)).collect::<Vec<_>>())
            }
            _ => Weights::even(&pool, Norm::Inside),
        };
        let draws = setup.phase == Phase::Train;
        let taken = match method {
            Method::Max if setup.backward || places => Some(Taken::new(&pool)),
            Method::Stochastic if draws => Some(Taken::Places(vec![0; pool.planes * pool.outputs()])),
            _ => None,
        };
        Self { method, draws, pool, weights, taken }
    }

    /// What [`Pooler::backward`] reads.
    pub fn reads(&self) -> Reads {
        match self.method {
            Method::L2 => Reads::BOTH,
            Method::Stochastic if !self.draws => Reads::BOTH,
            _ => Reads::NOTHING,
        }
    }

    /// The element of its plane that output `o` took in the last forward pass; 0 if nobody asked for places.
    pub fn place(&self, o: usize) -> usize {
        self.taken.as_ref().map_or(0, |taken| taken.place(&self.pool, o))
    }

    /// Pools `x` into `y`.
    pub fn forward(&mut self, x: &[f32], y: &mut [f32], draw: Draw) -> Result<(), LayerError> {
        let pool = &self.pool;
        match self.method {
            Method::Max => match &mut self.taken {
                Some(taken) => pool::max_taking(pool, x, y, taken),
                None => pool::max(pool, x, y),
            },
            Method::Mean | Method::Gaussian(_) => pool::weighted_mean(pool, &self.weights, x, y),
            Method::L2 => pool::l2(pool, &self.weights, x, y),
            Method::Stochastic => {
                if let Some(v) = x.iter().find(|&&v| v < 0.0) {
                    return Err(LayerError::value(format!(
                        "pool STOCHASTIC takes values as odds, which must not be negative, but found {v}; \
                         put a ReLU below"
                    )));
                }
                match &mut self.taken {
                    Some(Taken::Places(places)) => pool::sample(pool, x, draw, y, places),
                    _ => pool::stochastic_mean(pool, x, y),
                }
            }
        }
        Ok(())
    }

    /// dx, given dy, and x and y as far as [`Pooler::reads`] says.
    pub fn backward(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        let pool = &self.pool;
        match self.method {
            Method::Mean | Method::Gaussian(_) => pool::weighted_mean_backward(pool, &self.weights, dy, dx),
            Method::L2 => pool::l2_backward(pool, &self.weights, x, y, dy, dx),
            Method::Stochastic if !self.draws => pool::stochastic_mean_backward(pool, x, y, dy, dx),
            Method::Max | Method::Stochastic => {
                let taken = self.taken.as_ref().expect("a net with a backward pass asked for places");
                pool::max_backward(pool, taken, dy, dx);
            }
        }
    }
}
