//! Which codes of two letters are countries: ISO 3166-1 alpha-2 as it was assigned on 2026-11-28.
//!
//! The judge itself takes any two letters, for the log may have said them; officers are held to this table
//! before they sign.

/// All 249 that are assigned, in their order.
const ASSIGNED: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE \
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Kosovo: a code of the range that users assign, in wide use.
const BY_USE: &str = "XK";

/// Codes that are often written for another.
const MEANT: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

/// Whether a text is the code of a country, in capitals.
pub fn is_assigned(code: &str) -> bool {
    code == BY_USE || ASSIGNED.split(' ').any(|known| known == code)
}

/// The code that is meant by one that is not assigned, where that is known.
pub fn meant(code: &str) -> Option<&'static str> {
    let upper = code.to_ascii_uppercase();
    let known = ASSIGNED.split(' ').find(|known| *known == upper);
    let swapped = MEANT.iter().find(|(written, _)| *written == upper);
    known.or(swapped.map(|(_, meant)| *meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_are_assigned_and_one_that_everybody_uses() {
        let all: Vec<&str> = ASSIGNED.split(' ').collect();
        assert_eq!(all.len(), 249);
        assert!(all.is_sorted(), "in their order, none twice");
        for code in ["DE", "CN", "TW", "XK", "AX", "ZW"] {
            assert!(is_assigned(code), "{code}");
        }
        for code in [
            "XX", "ZZ", "AA", "QM", "UK", "EU", "SU", "de", "", "D", "DEU", "A D",
        ] {
            assert!(!is_assigned(code), "{code}");
        }
        assert_eq!(
            (meant("uk"), meant("de"), meant("XX")),
            (Some("GB"), Some("DE"), None)
        );
    }

    #[test]
    fn every_country_that_names_are_folded_by_is_one() {
        let lands = include_str!("../screening/lands.csv").lines();
        for line in lands.filter(|line| !line.starts_with('#') && line.contains(',')) {
            let code = line.split(',').next().unwrap_or_default();
            assert!(is_assigned(code), "{code}");
        }
    }
}
