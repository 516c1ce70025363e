//! Places on the earth as scores of a sorted set.
//!
//! A place is a cell of a grid: 26 halvings of the latitude and of the longitude,
//! their bits interleaved. Fewer halvings make a larger cell, whose places are a
//! range of scores; a search looks at one cell that is large enough and at its
//! eight neighbours, so it costs O(log n) and what lies near.

/// Half the circumference of the earth in Mercator's projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// The earth's mean radius in metres.
const RADIUS: f64 = 6_372_797.560_856;
const LONGITUDE: f64 = 180.0;
const LATITUDE: f64 = 85.051_128_78;
/// Halvings of a place.
const FINEST: u32 = 26;

/// A longitude and a latitude, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// What is searched, in metres, around a point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// A cell of the grid after so many halvings.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    x: u64,
    y: u64,
    step: u32,
}

/// Every other bit of the result, from the lowest on.
fn spread(bits: u64) -> u64 {
    (0..32).fold(0, |sum, at| sum | (bits >> at & 1) << (2 * at))
}

fn gather(bits: u64) -> u64 {
    (0..32).fold(0, |sum, at| sum | (bits >> (2 * at) & 1) << at)
}

impl Cell {
    fn of(point: Point, step: u32, latitude: f64) -> Self {
        let cells = (1u64 << step) as f64;
        let part = |value: f64, most: f64| ((value + most) / (2.0 * most) * cells) as u64;
        Self {
            x: part(point.x, LONGITUDE),
            y: part(point.y, latitude),
            step,
        }
    }

    fn bits(self) -> u64 {
        spread(self.y) | spread(self.x) << 1
    }

    /// Scores of the places in it: from, and before.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (FINEST - self.step);
        let bits = self.bits();
        ((bits << shift) as f64, ((bits + 1) << shift) as f64)
    }

    /// Its corners: least and greatest.
    fn corners(self) -> (Point, Point) {
        let cells = (1u64 << self.step) as f64;
        let edge = |at: u64, most: f64| -most + (at as f64 / cells) * (2.0 * most);
        let corner = |x, y| Point {
            x: edge(x, LONGITUDE),
            y: edge(y, LATITUDE),
        };
        (corner(self.x, self.y), corner(self.x + 1, self.y + 1))
    }

    /// The cell next to it, around the world if need be.
    fn beside(self, x: i64, y: i64) -> Self {
        let mask = (1 << self.step) - 1;
        Self {
            x: self.x.wrapping_add_signed(x) & mask,
            y: self.y.wrapping_add_signed(y) & mask,
            step: self.step,
        }
    }
}

impl Point {
    /// Whether the grid has it.
    pub(super) fn is_valid(self) -> bool {
        let (xs, ys) = (-LONGITUDE..=LONGITUDE, -LATITUDE..=LATITUDE);
        xs.contains(&self.x) && ys.contains(&self.y)
    }

    pub(super) fn score(self) -> f64 {
        Cell::of(self, FINEST, LATITUDE).bits() as f64
    }

    /// The middle of the cell that a score stands for.
    pub(super) fn of_score(score: f64) -> Self {
        let bits = score as u64;
        let cell = Cell {
            x: gather(bits >> 1),
            y: gather(bits),
            step: FINEST,
        };
        let (least, most) = cell.corners();
        let middle = |a: f64, b: f64, most: f64| f64::midpoint(a, b).clamp(-most, most);
        Self {
            x: middle(least.x, most.x, LONGITUDE),
            y: middle(least.y, most.y, LATITUDE),
        }
    }

    /// The usual name of the place, in eleven letters; the last is always 0.
    pub(super) fn name(self) -> String {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(self, FINEST, 90.0).bits();
        let letter = |at: u32| char::from(LETTERS[(bits >> (52 - 5 * at) & 0x1f) as usize]);
        (1..=10).map(letter).chain(['0']).collect()
    }

    /// Metres between two places, along a great circle.
    pub(super) fn distance(self, other: Self) -> f64 {
        let v = ((other.x.to_radians_as_c() - self.x.to_radians_as_c()) / 2.0).sin();
        if v == 0.0 {
            return self.distance_in_latitude(other);
        }
        let (one, two) = (self.y.to_radians_as_c(), other.y.to_radians_as_c());
        let u = ((two - one) / 2.0).sin();
        let a = u * u + one.cos() * two.cos() * v * v;
        2.0 * RADIUS * a.sqrt().asin()
    }

    fn distance_in_latitude(self, other: Self) -> f64 {
        RADIUS * (other.y.to_radians_as_c() - self.y.to_radians_as_c()).abs()
    }
}

/// Degrees to radians in the same order of operations as Redis.
trait Radians {
    fn to_radians_as_c(self) -> f64;
    fn to_degrees_as_c(self) -> f64;
}

const DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Radians for f64 {
    fn to_radians_as_c(self) -> f64 {
        self * DEGREE
    }

    fn to_degrees_as_c(self) -> f64 {
        self / DEGREE
    }
}

impl Shape {
    /// How far a place is from the centre, if it is inside.
    pub(super) fn within(self, centre: Point, place: Point) -> Option<f64> {
        match self {
            Self::Circle { radius } => {
                let distance = centre.distance(place);
                (distance <= radius).then_some(distance)
            }
            Self::Box { width, height } => {
                let level = Point {
                    x: centre.x,
                    y: place.y,
                };
                let inside = place.distance_in_latitude(centre) <= height / 2.0
                    && place.distance(level) <= width / 2.0;
                inside.then(|| centre.distance(place))
            }
        }
    }

    /// Half width, half height, and the distance to the farthest point.
    fn extent(self) -> (f64, f64, f64) {
        match self {
            Self::Circle { radius } => (radius, radius, radius),
            Self::Box { width, height } => {
                let (x, y) = (width / 2.0, height / 2.0);
                (x, y, (x * x + y * y).sqrt())
            }
        }
    }

    /// Ranges of scores that cover the shape, in the order in which Redis looks
    /// at them.
    pub(super) fn ranges(self, centre: Point) -> Vec<(f64, f64)> {
        let (half_width, half_height, far) = self.extent();
        let tall = (half_height / RADIUS).to_degrees_as_c();
        let wide = |y: f64| (half_width / RADIUS / y.to_radians_as_c().cos()).to_degrees_as_c();
        let wide = if centre.y < 0.0 {
            wide(centre.y - tall)
        } else {
            wide(centre.y + tall)
        };
        let (west, east) = (centre.x - wide, centre.x + wide);
        let (south, north) = (centre.y - tall, centre.y + tall);
        let mut cell = Cell::of(centre, halvings(far, centre.y), LATITUDE);
        // Near the edge of a cell, its neighbour may be too small.
        let short = cell.beside(0, 1).corners().1.y < north
            || cell.beside(0, -1).corners().0.y > south
            || cell.beside(1, 0).corners().1.x < east
            || cell.beside(-1, 0).corners().0.x > west;
        if short && cell.step > 1 {
            cell = Cell::of(centre, cell.step - 1, LATITUDE);
        }
        let (least, most) = cell.corners();
        // Whole sides may lie outside.
        let useless = |x: i64, y: i64| {
            cell.step >= 2
                && (y < 0 && least.y < south
                    || y > 0 && most.y > north
                    || x < 0 && least.x < west
                    || x > 0 && most.x > east)
        };
        let around = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let cells = around.into_iter().filter(|(x, y)| !useless(*x, *y));
        let mut cells: Vec<Cell> = cells.map(|(x, y)| cell.beside(x, y)).collect();
        // On a coarse grid, neighbours are the same.
        let mut seen = Vec::new();
        cells.retain(|cell| {
            let new = !seen.contains(cell);
            seen.push(*cell);
            new
        });
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// How often the world may be halved so that a cell is as large as this.
fn halvings(mut metres: f64, latitude: f64) -> u32 {
    if metres == 0.0 {
        return FINEST;
    }
    let mut step = 1i32;
    while metres < MERCATOR_MAX {
        metres *= 2.0;
        step += 1;
    }
    step -= 2;
    // Cells are narrower towards the poles.
    step -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    step.clamp(1, FINEST as i32) as u32
}
