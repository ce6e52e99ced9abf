//! Sharing a whole number so that the parts sum to it again.

/// Shares `total` in proportion to `weights`; what does not divide goes to the first, one each.
///
/// Weights that are all zero share equally. No weights: nothing to share with, an empty answer.
pub(super) fn split(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    let equal = sum == 0;
    let sum = if equal { weights.len() as u128 } else { sum };
    let mut parts: Vec<u64> = Vec::with_capacity(weights.len());
    let mut left = total;
    for weight in weights {
        let weight = if equal { 1 } else { u128::from(*weight) };
        // At most `total`, for a weight is at most the sum.
        let part = u64::try_from(u128::from(total) * weight / sum).unwrap_or(total);
        left -= part;
        parts.push(part);
    }
    for (part, weight) in parts.iter_mut().zip(weights) {
        if left > 0 && (equal || *weight > 0) {
            *part += 1;
            left -= 1;
        }
    }
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_divide_goes_to_the_first() {
        assert_eq!(split(1_000, &[1, 1, 1]), [334, 333, 333]);
        assert_eq!(split(1_000, &[0, 0, 0]), [334, 333, 333]);
        assert_eq!(split(11, &[0, 5, 5]), [0, 6, 5]);
        assert_eq!(split(7, &[]), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_no_weight_gets_nothing(
            total: u64,
            weights in proptest::collection::vec(prop_oneof![Just(0), any::<u64>()], 1..40),
        ) {
            let parts = split(total, &weights);
            prop_assert_eq!(parts.iter().map(|p| u128::from(*p)).sum::<u128>(), u128::from(total));
            if weights.iter().any(|w| *w > 0) {
                for (part, weight) in parts.iter().zip(&weights) {
                    prop_assert!(*weight > 0 || *part == 0);
                }
            }
        }
    }
}
