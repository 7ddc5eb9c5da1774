#include <boost/describe/class.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <troupe/sdk.hpp>
#include <vector>

/// Groups the countries' towns, or any points, around centres: k-means of Lloyd 1982, round after round until no centre
/// moves. A line is a name and two numbers, with tabs between them.
namespace k_means {

struct place {
  double x = 0;
  double y = 0;
};
BOOST_DESCRIBE_STRUCT(place, (), (x, y))
using centre = std::pair<std::uint32_t, place>;  ///< its number, and where it is

/// The points of a line; other lines are counted and left out.
struct read_point {
  void start(const troupe::parameters&, troupe::context& context) {
    skipped = &context.counter_named("lines left out");
  }
  template <class Emit>
  void operator()(std::string_view line, Emit& emit) {
    const auto tab = line.find('\t');
    const auto second = tab == std::string_view::npos ? tab : line.find('\t', tab + 1);
    place p;
    if (second == std::string_view::npos || !number(line.substr(tab + 1, second - tab - 1), p.x) ||
        !number(line.substr(second + 1), p.y))
      ++*skipped;
    else
      emit(p);
  }
  static bool number(std::string_view text, double& out) {
    const auto [rest, wrong] = std::from_chars(text.data(), text.data() + text.size(), out);
    return wrong == std::errc{} && rest == text.data() + text.size() && std::isfinite(out);
  }
  troupe::counter* skipped = nullptr;
};
constexpr auto points = troupe::read_lines() | troupe::flat_map<place, read_point>() | troupe::keep();

inline double distance(const place& a, const place& b) { return (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y); }

/// Positions are counted in millionths, as whole numbers, so that a sum is the same in whatever order it is made.
struct sums {
  std::int64_t x = 0;
  std::int64_t y = 0;
  std::int64_t points = 0;
};
BOOST_DESCRIBE_STRUCT(sums, (), (x, y, points))
inline constexpr double unit = 1e6;
struct middle : troupe::folder<sums, place> {
  sums init() { return {}; }
  void fold(sums& all, const place& p) {
    all.x += std::llround(p.x * unit);
    all.y += std::llround(p.y * unit);
    ++all.points;
  }
  void merge(sums& all, const sums& other) { all.x += other.x, all.y += other.y, all.points += other.points; }
  place result(const sums& all) {
    const auto n = static_cast<double>(all.points) * unit;
    return {static_cast<double>(all.x) / n, static_cast<double>(all.y) / n};
  }
};

constexpr auto to_nearest = [](const place& p, const std::vector<centre>& all) {
  std::uint32_t best = 0;
  double best_distance = INFINITY;
  for (const auto& [number, at] : all)
    if (const auto d = distance(p, at); d < best_distance) best = number, best_distance = d;
  return std::pair(best, p);
};

/// The first centres are the first points that came; a parameter says how many.
struct first_points {
  void start(const troupe::parameters& given, troupe::context&) {
    count = given.integer("centres", 8);
    if (count < 1 || count > 10'000) throw troupe::failure("parameter centres must be 1 to 10000");
  }
  bool operator()(const std::pair<std::uint64_t, place>& numbered) const {
    return numbered.first < static_cast<std::uint64_t>(count);
  }
  std::int64_t count = 8;
};
struct has_settled {
  void start(const troupe::parameters& given, troupe::context&) { moved_max = given.real("within", 1e-6); }
  bool operator()(const std::pair<std::uint32_t, std::pair<place, place>>& c) const {
    return distance(c.second.first, c.second.second) <= moved_max * moved_max;
  }
  double moved_max = 0;
};

constexpr auto centres =
    points | troupe::zip_with_index() | troupe::filter<first_points>() |
    troupe::map([](const auto& p) { return centre(static_cast<std::uint32_t>(p.first), p.second); }) |
    troupe::iterate_until<60>(
        [](auto state) { return points | troupe::map_with(state, to_nearest) | troupe::fold_by_key<middle>(); },
        [](auto before, auto after) { return before | troupe::join_small(after) | troupe::map<has_settled>(); });

TROUPE_JOB(k_means, centres | troupe::sort_by([](const centre& c) {
                      return c.first;
                    }) | troupe::write("centre", "place").named("centres"),
           points | troupe::map_with(centres, to_nearest) | troupe::fold_by_key<troupe::count>() |
               troupe::sort_by_descending([](const auto& c) { return c.second; }) |
               troupe::write("centre", "points").named("sizes"),
           troupe::parameter("centres", "how many; 8, unless given"),
           troupe::parameter("within", "a centre that moves by no more than this has settled; 0.000001"));

}  // namespace k_means
