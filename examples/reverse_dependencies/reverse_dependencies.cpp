#include <troupe/sdk.hpp>

#include <algorithm>
#include <boost/describe/class.hpp>
#include <string>
#include <vector>

/// Which packages need each package. Reads a package a line, `package<TAB>its Depends field`, for example
///
///     apt<TAB>base-passwd (>= 3.6.1) | adduser, gpgv, libc6 (>= 2.34)
///
/// Alternatives count like any other; versions and architectures (`:any`, `[amd64]`) are left off.
struct dependencies : troupe::mapper<std::string_view, std::string_view, std::string_view> {
  void start(const troupe::parameters&, troupe::context& context) {
    without = &context.counter_named("lines_without_a_tab");
  }

  void map(std::string_view line, emitter& emit) {
    const auto tab = line.find('\t');
    if (tab == line.npos) {
      ++*without;
      return;
    }
    const auto package = line.substr(0, tab);
    auto rest = line.substr(tab + 1);
    while (!rest.empty()) {
      const auto end = std::min(rest.find_first_of(",|"), rest.size());
      auto name = rest.substr(0, end);
      name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
      name = name.substr(0, name.find_first_of(" (:[<"));
      if (!name.empty()) emit(name, package);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  troupe::counter* without = nullptr;
};

struct needed_by {
  std::string package;
  std::uint64_t count = 0;
  std::vector<std::string> by;  ///< in alphabetical order, each once
};
BOOST_DESCRIBE_STRUCT(needed_by, (), (package, count, by))

struct gather : troupe::reducer<std::string_view, std::string_view, needed_by> {
  void reduce(std::string_view package, troupe::values<std::string_view>& values, emitter& emit) {
    needed_by out{std::string(package), 0, {}};
    for (auto value : values) out.by.emplace_back(value);
    std::sort(out.by.begin(), out.by.end());
    out.by.erase(std::unique(out.by.begin(), out.by.end()), out.by.end());
    out.count = out.by.size();
    emit(out);
  }
};

TROUPE_JOB(reverse_dependencies,
           troupe::read_lines() | troupe::map<dependencies>() | troupe::reduce<gather>() | troupe::write());
