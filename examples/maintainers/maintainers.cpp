#include <troupe/sdk.hpp>

#include <boost/describe/class.hpp>
#include <string>

/// How many binary packages each maintainer answers for, and how large they are. Two inputs: packages, a line each,
/// `package<TAB>source<TAB>installed KiB`, and sources, `source<TAB>maintainer`. They meet by source; what has no
/// maintainer is counted under «(unknown)».
namespace maintainers {

struct totals {
  std::uint64_t packages = 0;
  std::uint64_t kibibytes = 0;
};
BOOST_DESCRIBE_STRUCT(totals, (), (packages, kibibytes))

inline std::string_view field(std::string_view line, int number) {
  for (; number > 0; --number) {
    const auto tab = line.find('\t');
    if (tab == line.npos) return {};
    line.remove_prefix(tab + 1);
  }
  return line.substr(0, line.find('\t'));
}

struct add : troupe::folder<totals, std::uint64_t> {
  totals init() { return {}; }
  void fold(totals& all, const std::uint64_t& size) { ++all.packages, all.kibibytes += size; }
  void merge(totals& all, const totals& other) {
    all.packages += other.packages;
    all.kibibytes += other.kibibytes;
  }
};

constexpr auto packages = troupe::read_lines<0>() | troupe::map([](std::string_view line) {
                            std::uint64_t size = 0;
                            for (const char c : field(line, 2))
                              if (c >= '0' && c <= '9') size = size * 10 + static_cast<std::uint64_t>(c - '0');
                            return std::pair(field(line, 1), size);
                          });
constexpr auto sources = troupe::read_lines<1>() |
                         troupe::map([](std::string_view line) { return std::pair(field(line, 0), field(line, 1)); }) |
                         troupe::distinct();

TROUPE_JOB(maintainers, packages | troupe::left_join(sources) | troupe::map([](const auto& joined) {
                          const auto& [size, maintainer] = joined.second;
                          return std::pair(maintainer.value_or("(unknown)"), size);
                        }) | troupe::fold_by_key<add>() |
                            troupe::sort_by_descending([](const auto& m) { return m.second.packages; }) |
                            troupe::write("maintainer", "totals"));

}  // namespace maintainers
