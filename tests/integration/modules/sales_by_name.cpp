#include <boost/describe/class.hpp>
#include <optional>
#include <string_view>
#include <troupe/sdk.hpp>

/// What was imported from CSV, read as a struct: how much each name has sold.
namespace sales_by_name {

using namespace troupe;

struct sale {
  std::int64_t id = 0;
  std::string_view name;
  std::optional<double> price;
};
BOOST_DESCRIBE_STRUCT(sale, (), (id, name, price))

TROUPE_JOB(sales_by_name, read_records<sale>() | filter([](const sale& s) { return s.price.has_value(); }) |
                              map([](const sale& s) { return std::pair(s.name, *s.price); }) | fold_by_key<sum>() |
                              write("name", "total"));

}  // namespace sales_by_name
