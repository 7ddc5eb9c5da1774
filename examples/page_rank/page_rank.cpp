#include <troupe/sdk.hpp>

#include <algorithm>
#include <string>
#include <vector>

/// PageRank (Page, Brin 1998) of packages: a package passes its rank on to those that it depends on, ten rounds. Reads
/// a package a line, `package<TAB>its Depends field`, for example
///
///     apt<TAB>base-passwd (>= 3.6.1) | adduser, gpgv, libc6 (>= 2.34)
///
/// rank = 0.15 + 0.85 * sum of (rank of who depends on it / how many that one depends on)
namespace page_rank {

struct dependencies : troupe::mapper<std::string_view, std::string_view, std::string_view> {
  void map(std::string_view line, emitter& emit) {
    const auto tab = line.find('\t');
    if (tab == line.npos) return;
    auto rest = line.substr(tab + 1);
    while (!rest.empty()) {
      const auto end = std::min(rest.find_first_of(",|"), rest.size());
      auto name = rest.substr(0, end);
      name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
      name = name.substr(0, name.find_first_of(" (:[<"));
      if (!name.empty()) emit(line.substr(0, tab), name);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
};

/// What each package depends on, as one list.
struct gather : troupe::reducer<std::string_view, std::string_view, std::string, std::vector<std::string>> {
  void reduce(std::string_view package, troupe::values<std::string_view>& values, emitter& emit) {
    std::vector<std::string> all;
    for (auto value : values) all.emplace_back(value);
    emit(package, all);
  }
};

using rank = std::pair<std::string_view, double>;

constexpr auto links = troupe::read_lines() | troupe::map<dependencies>() | troupe::distinct();
constexpr auto lists = links | troupe::reduce<gather>() | troupe::keep();
/// Every package that is named anywhere, with nothing.
constexpr auto packages = links | troupe::flat_map<std::string_view>([](const auto& link, auto& emit) {
                            emit(link.first);
                            emit(link.second);
                          }) |
                          troupe::distinct() | troupe::map([](std::string_view name) { return rank(name, 0.0); }) |
                          troupe::keep();

TROUPE_JOB(page_rank, packages | troupe::map([](const rank& r) {
                        return rank(r.first, 1.0);
                      }) | troupe::iterate<10>([](auto ranks) {
                        return ranks | troupe::join(lists) | troupe::flat_map<rank>([](const auto& joined, auto& emit) {
                                 const auto& [rank, targets] = joined.second;
                                 for (const auto& target : targets)
                                   emit({target, rank / static_cast<double>(targets.size())});
                               }) |
                               troupe::union_with(packages) | troupe::fold_by_key<troupe::sum>() |
                               troupe::map([](const rank& r) { return rank(r.first, 0.15 + 0.85 * r.second); });
                      }) | troupe::sort_by_descending([](const rank& r) { return r.second; }) |
                          troupe::write("package", "rank"));

}  // namespace page_rank
