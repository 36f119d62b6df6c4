//! Medians and their spread.

/// A median and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub lower_quartile: f64,
    pub median: f64,
    pub upper_quartile: f64,
}

impl Spread {
    /// Of values of which there is at least one.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)? as f64;
        let at = |share: f64| {
            let place = share * last;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            values[below] + (values[above] - values[below]) * place.fract()
        };
        Some(Self {
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn quartiles_lie_between_values_where_they_must() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (spread.lower_quartile, spread.median, spread.upper_quartile),
            (1.75, 2.5, 3.25)
        );
    }

    #[test]
    fn one_value_is_its_own_spread() {
        let spread = Spread::of(vec![7.0]).unwrap();
        assert_eq!((spread.lower_quartile, spread.upper_quartile), (7.0, 7.0));
        assert!(Spread::of(Vec::new()).is_none());
    }
}
