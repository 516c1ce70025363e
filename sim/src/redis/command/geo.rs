//! `GEOADD`, `GEOSEARCH` and their kin: sorted sets of places.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, int, zsets};
use crate::redis::extended::Extended;
use crate::redis::geo::{Point, Shape};
use crate::redis::value::{Typed, ZSet};
use crate::redis::{State, Version};

fn point(args: &[Arg], version: Version) -> Result<Point, Fail> {
    let point = Point {
        x: args[0].float(version)?,
        y: args[1].float(version)?,
    };
    if point.is_valid() {
        return Ok(point);
    }
    Err(Fail::new(format!(
        "ERR invalid longitude,latitude pair {:.6},{:.6}",
        point.x, point.y
    )))
}

/// Metres in this unit.
fn unit(arg: &Arg) -> Result<f64, Fail> {
    let known = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = known.into_iter().find(|(name, _)| arg.is(name));
    found.map(|(_, metres)| metres).ok_or(Fail::fixed(
        "ERR unsupported unit provided. please use M, KM, FT, MI",
    ))
}

fn number(arg: &Arg, what: &'static str, version: Version) -> Result<f64, Fail> {
    arg.float(version).map_err(|_| Fail::fixed(what))
}

/// `radius unit`; the shape in metres, and the unit.
fn circle(args: &[Arg], version: Version) -> Result<(Shape, f64), Fail> {
    let radius = number(&args[0], "ERR need numeric radius", version)?;
    if radius < 0.0 {
        return Err(Fail::fixed("ERR radius cannot be negative"));
    }
    let unit = unit(&args[1])?;
    let radius = radius * unit;
    Ok((Shape::Circle { radius }, unit))
}

/// `width height unit`.
fn rectangle(args: &[Arg], version: Version) -> Result<(Shape, f64), Fail> {
    let width = number(&args[0], "ERR need numeric width", version)?;
    let height = number(&args[1], "ERR need numeric height", version)?;
    if width < 0.0 || height < 0.0 {
        return Err(Fail::fixed("ERR height or width cannot be negative"));
    }
    let unit = unit(&args[2])?;
    let (width, height) = (width * unit, height * unit);
    Ok((Shape::Box { width, height }, unit))
}

pub(super) fn geoadd(state: &mut State, args: &[Arg]) -> Out {
    let option = |arg: &&Arg| ["NX", "XX", "CH"].iter().any(|word| arg.is(word));
    let options = args[2..].iter().take_while(option).count();
    let (options, places) = args[2..].split_at(options);
    let has = |word: &str| options.iter().any(|arg| arg.is(word));
    if !places.len().is_multiple_of(3) || has("NX") && has("XX") {
        return Err(Fail::SYNTAX);
    }
    let mut scored: Vec<(Bytes, Bytes)> = Vec::new();
    for place in places.chunks_exact(3) {
        let score = point(place, state.version)?.score();
        let score = itoa::Buffer::new().format(score as i64).as_bytes().into();
        scored.push((score, place[2].shared()));
    }
    let mut add: Vec<Arg> = vec![Arg::Plain(b"zadd"), args[1]];
    add.extend(options);
    for (score, member) in &scored {
        add.extend([Arg::Shared(score), Arg::Shared(member)]);
    }
    zsets::zadd(state, &add)
}

/// What one of the members has to say; nil for those who are not there.
fn each(state: &mut State, args: &[Arg], tell: impl Fn(Point) -> Reply) -> Out {
    let zset = state.db.read::<ZSet>(&args[1])?;
    let told = args[2..].iter().map(|member| {
        let score = zset.and_then(|zset| zset.score(member));
        score.map_or(Reply::Nil, |score| tell(Point::of_score(score)))
    });
    Ok(Reply::Array(told.collect()))
}

pub(super) fn geohash(state: &mut State, args: &[Arg]) -> Out {
    each(state, args, |point| Reply::bulk(point.name()))
}

fn coordinates(point: Point) -> Reply {
    let human = |value: f64| Reply::bulk(Extended::of_f64(value).to_string());
    Reply::Array(vec![human(point.x), human(point.y)])
}

pub(super) fn geopos(state: &mut State, args: &[Arg]) -> Out {
    each(state, args, coordinates)
}

fn distance(metres: f64, unit: f64) -> Reply {
    Reply::bulk(format!("{:.4}", metres / unit))
}

pub(super) fn geodist(state: &mut State, args: &[Arg]) -> Out {
    let unit = match &args[4..] {
        [] => 1.0,
        [name] => unit(name)?,
        _ => return Err(Fail::SYNTAX),
    };
    let Some(zset) = state.db.read::<ZSet>(&args[1])? else {
        return Ok(Reply::Nil);
    };
    let place = |member: &Arg| zset.score(member).map(Point::of_score);
    Ok(match (place(&args[2]), place(&args[3])) {
        (Some(one), Some(other)) => distance(one.distance(other), unit),
        _ => Reply::Nil,
    })
}

/// What a search is told.
#[derive(Default)]
struct Search<'a> {
    centre: Option<Point>,
    /// The centre is a member, whether or not it could be looked up.
    around_member: bool,
    shape: Option<(Shape, f64)>,
    store: Option<Arg<'a>>,
    store_distance: bool,
    distances: bool,
    hashes: bool,
    places: bool,
    any: bool,
    descending: Option<bool>,
    count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Radius,
    RadiusReadOnly,
    Search,
    SearchStore,
}

/// The place of a member; `None` if there is no key to look in.
fn place_of(state: &mut State, key: &Arg, member: &Arg) -> Result<Option<Point>, Fail> {
    const UNKNOWN: Fail = Fail::fixed("ERR could not decode requested zset member");
    match state.db.read::<ZSet>(key)? {
        None => Ok(None),
        Some(zset) => {
            let score = zset.score(member).ok_or(UNKNOWN)?;
            Ok(Some(Point::of_score(score)))
        }
    }
}

impl<'a> Search<'a> {
    fn options(
        &mut self,
        state: &mut State,
        key: &Arg,
        mut rest: &[Arg<'a>],
        form: Form,
    ) -> Result<(), Fail> {
        let searches = matches!(form, Form::Search | Form::SearchStore);
        while let [word, after @ ..] = rest {
            rest = after;
            let enough = |count: usize| after.len() >= count;
            if word.is("WITHDIST") {
                self.distances = true;
            } else if word.is("WITHHASH") {
                self.hashes = true;
            } else if word.is("WITHCOORD") {
                self.places = true;
            } else if word.is("ANY") {
                self.any = true;
            } else if word.is("ASC") || word.is("DESC") {
                self.descending = Some(word.is("DESC"));
            } else if word.is("COUNT") && enough(1) {
                let count = usize::try_from(after[0].int()?).ok();
                let count = count.filter(|count| *count > 0);
                self.count = count.ok_or(Fail::fixed("ERR COUNT must be > 0"))?;
                rest = &after[1..];
            } else if form == Form::Radius
                && enough(1)
                && (word.is("STORE") || word.is("STOREDIST"))
            {
                self.store = Some(after[0]);
                self.store_distance = word.is("STOREDIST");
                rest = &after[1..];
            } else if form == Form::SearchStore && word.is("STOREDIST") {
                self.store_distance = true;
            } else if searches
                && word.is("FROMMEMBER")
                && enough(1)
                && (self.centre.is_none() || self.around_member)
            {
                self.centre = place_of(state, key, &after[0])?;
                self.around_member = true;
                rest = &after[1..];
            } else if searches && word.is("FROMLONLAT") && enough(2) && !self.around_member {
                self.centre = Some(point(after, state.version)?);
                rest = &after[2..];
            } else if searches
                && word.is("BYRADIUS")
                && enough(2)
                && !matches!(self.shape, Some((Shape::Box { .. }, _)))
            {
                self.shape = Some(circle(after, state.version)?);
                rest = &after[2..];
            } else if searches
                && word.is("BYBOX")
                && enough(3)
                && !matches!(self.shape, Some((Shape::Circle { .. }, _)))
            {
                self.shape = Some(rectangle(after, state.version)?);
                rest = &after[3..];
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(())
    }

    /// What options exclude each other.
    fn check(&self, name: &Arg, form: Form) -> Result<(), Fail> {
        if self.store.is_some() && (self.distances || self.hashes || self.places) {
            let what = match form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(Fail::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let searches = matches!(form, Form::Search | Form::SearchStore);
        let exactly = |what: &str| {
            let text = format!("ERR exactly one of {what} can be specified for ");
            Fail::new([text.as_bytes(), &**name].concat())
        };
        if searches && self.centre.is_none() && !self.around_member {
            return Err(exactly("FROMMEMBER or FROMLONLAT"));
        }
        if searches && self.shape.is_none() {
            return Err(exactly("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err(Fail::fixed("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// Members inside with score and distance, in order, as many as are wanted.
    fn found(&self, zset: &ZSet, centre: Point, shape: Shape) -> Vec<(Bytes, f64, f64)> {
        let enough = if self.any { self.count } else { usize::MAX };
        let mut found: Vec<(Bytes, f64, f64)> = Vec::new();
        'cells: for (from, before) in shape.ranges(centre) {
            let start = zset.partition(|score, _| score < from);
            let end = zset.partition(|score, _| score < before);
            for (member, score) in zset.range(start, end) {
                if found.len() >= enough {
                    break 'cells;
                }
                if let Some(distance) = shape.within(centre, Point::of_score(score)) {
                    found.push((member.clone(), score, distance));
                }
            }
        }
        // The nearest so many are meant, unless any are.
        let sorted = self
            .descending
            .or((self.count > 0 && !self.any).then_some(false));
        match sorted {
            Some(false) => found.sort_by(|a, b| a.2.total_cmp(&b.2)),
            Some(true) => found.sort_by(|a, b| b.2.total_cmp(&a.2)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }
}

fn search(state: &mut State, key: &Arg, search: &Search) -> Out {
    let (Some((shape, unit)), Some(centre)) = (search.shape, search.centre) else {
        return nothing(state, search);
    };
    let Some(zset) = state.db.read::<ZSet>(key)? else {
        return nothing(state, search);
    };
    let found = search.found(zset, centre, shape);
    let Some(store) = search.store else {
        let more = search.distances || search.hashes || search.places;
        let tell = |(member, score, metres): (Bytes, f64, f64)| {
            let mut parts = vec![Reply::Bulk(member)];
            if search.distances {
                parts.push(distance(metres, unit));
            }
            if search.hashes {
                parts.push(Reply::Int(score as i64));
            }
            if search.places {
                parts.push(coordinates(Point::of_score(score)));
            }
            if more {
                Reply::Array(parts)
            } else {
                parts.remove(0)
            }
        };
        return Ok(Reply::Array(found.into_iter().map(tell).collect()));
    };
    if found.is_empty() {
        return nothing(state, search);
    }
    let mut result = ZSet::default();
    for (member, score, metres) in &found {
        let score = if search.store_distance {
            metres / unit
        } else {
            *score
        };
        result.insert(member, score);
    }
    state.db.put(store.shared(), result.wrap(), None);
    int(found.len())
}

/// Nothing was found, and what was to be stored there is nothing.
fn nothing(state: &mut State, search: &Search) -> Out {
    match search.store {
        None => Ok(Reply::Array(Vec::new())),
        Some(store) => {
            state.db.remove(&store);
            int(0)
        }
    }
}

fn by_radius(state: &mut State, args: &[Arg], member: bool, form: Form) -> Out {
    let known = state.db.read::<ZSet>(&args[1])?.is_some();
    let mut told = Search {
        around_member: member,
        ..Search::default()
    };
    let options = if member {
        if known {
            told.centre = place_of(state, &args[1], &args[2])?;
            told.shape = Some(circle(&args[3..], state.version)?);
        }
        &args[5..]
    } else {
        told.centre = Some(point(&args[2..], state.version)?);
        told.shape = Some(circle(&args[4..], state.version)?);
        &args[6..]
    };
    told.options(state, &args[1], options, form)?;
    told.check(&args[0], form)?;
    search(state, &args[1], &told)
}

pub(super) fn georadius(state: &mut State, args: &[Arg]) -> Out {
    by_radius(state, args, false, Form::Radius)
}

pub(super) fn georadius_ro(state: &mut State, args: &[Arg]) -> Out {
    by_radius(state, args, false, Form::RadiusReadOnly)
}

pub(super) fn georadiusbymember(state: &mut State, args: &[Arg]) -> Out {
    by_radius(state, args, true, Form::Radius)
}

pub(super) fn georadiusbymember_ro(state: &mut State, args: &[Arg]) -> Out {
    by_radius(state, args, true, Form::RadiusReadOnly)
}

pub(super) fn geosearch(state: &mut State, args: &[Arg]) -> Out {
    state.db.read::<ZSet>(&args[1])?;
    let mut told = Search::default();
    told.options(state, &args[1], &args[2..], Form::Search)?;
    told.check(&args[0], Form::Search)?;
    search(state, &args[1], &told)
}

pub(super) fn geosearchstore(state: &mut State, args: &[Arg]) -> Out {
    state.db.read::<ZSet>(&args[2])?;
    let mut told = Search {
        store: Some(args[1]),
        ..Search::default()
    };
    told.options(state, &args[2], &args[3..], Form::SearchStore)?;
    told.check(&args[0], Form::SearchStore)?;
    search(state, &args[2], &told)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn places_are_found_by_distance() {
        let mut bench = Bench::new();
        let add = "GEOADD g 13.361389 38.115556 palermo 15.087269 37.502669 catania";
        assert_eq!(bench.run(add), ":2");
        for (line, expected) in [
            ("GEODIST g palermo catania", r#""166274.1516""#),
            ("GEODIST g palermo catania km", r#""166.2742""#),
            ("GEODIST g palermo nosuch", "nil"),
            ("GEOHASH g palermo nosuch", r#"["sqc8b49rny0", nil]"#),
            (
                "GEOPOS g palermo",
                r#"[["13.36138933897018433", "38.11555639549629859"]]"#,
            ),
            ("GEORADIUS g 15 37 200 km ASC", r#"["catania", "palermo"]"#),
            (
                "GEORADIUS g 15 37 100 km WITHDIST",
                r#"[["catania", "56.4413"]]"#,
            ),
            (
                "GEORADIUSBYMEMBER g palermo 1 m WITHHASH",
                r#"[["palermo", :3479099956230698]]"#,
            ),
            (
                "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 1",
                r#"["catania"]"#,
            ),
            (
                "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST",
                ":2",
            ),
            (
                "ZRANGE d 0 0 WITHSCORES",
                r#"["catania", "56.4412578701582"]"#,
            ),
            ("GEORADIUS g 15 37 1 km STORE d", ":0"),
            ("EXISTS d", ":0"),
            (
                "GEOADD g 200 0 x",
                "-ERR invalid longitude,latitude pair 200.000000,0.000000",
            ),
            ("GEORADIUS g 15 37 1 km COUNT 0", "-ERR COUNT must be > 0"),
            ("GEORADIUS_RO g 15 37 1 km STORE d", "-ERR syntax error"),
            (
                "GEORADIUS g 15 37 1 x",
                "-ERR unsupported unit provided. please use M, KM, FT, MI",
            ),
            (
                "GEOSEARCH g BYRADIUS 1 km ASC WITHDIST",
                "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
            ),
            ("GEOSEARCH nosuch FROMMEMBER x BYRADIUS 1 km", "[]"),
            (
                "GEOSEARCH g FROMMEMBER x BYRADIUS 1 km",
                "-ERR could not decode requested zset member",
            ),
        ] {
            assert_eq!(bench.run(line), expected, "{line}");
        }
    }

    /// Cells are a short cut: no place is missed that looking at all would find.
    #[test]
    fn no_place_is_missed() {
        use crate::redis::geo::{Point, Shape};
        let mut number = 1u64;
        let mut random = |most: f64| {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((number >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0) * most
        };
        let points: Vec<Point> = (0..500)
            .map(|_| Point {
                x: random(179.0),
                y: random(84.0),
            })
            .map(|point| Point::of_score(point.score()))
            .collect();
        let mut inside = 0;
        for _ in 0..300 {
            let centre = Point {
                x: random(170.0),
                y: random(70.0),
            };
            let size = random(1_500_000.0).abs();
            for shape in [
                Shape::Circle { radius: size },
                Shape::Box {
                    width: size,
                    height: size / 3.0,
                },
            ] {
                let ranges = shape.ranges(centre);
                for point in &points {
                    let score = point.score();
                    let seen = ranges
                        .iter()
                        .any(|(from, before)| (*from..*before).contains(&score));
                    let in_it = shape.within(centre, *point).is_some();
                    // What lies beyond the date line is not looked for.
                    let here = (point.x - centre.x).abs() < 180.0;
                    assert!(seen || !in_it || !here, "{centre:?} {shape:?} {point:?}");
                    inside += usize::from(in_it && here);
                }
            }
        }
        assert!(inside > 100, "{inside}");
    }
}
