#include <troupe/sdk.hpp>

#include <boost/describe/class.hpp>
#include <string_view>

/// Three questions about a shop, in the manner of the queries 1, 3 and 6 of TPC-H: a report by group, a join of three
/// tables with the dearest ten, and a sum over a narrow filter. Dates are texts, 1998-09-02: they sort as dates do.
namespace orders {

struct customer {
  std::int64_t custkey = 0;
  std::string_view segment;
};
BOOST_DESCRIBE_STRUCT(customer, (), (custkey, segment))

struct order {
  std::int64_t orderkey = 0;
  std::int64_t custkey = 0;
  std::string_view orderdate;
  std::int64_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(order, (), (orderkey, custkey, orderdate, priority))

struct item {
  std::int64_t orderkey = 0;
  double quantity = 0;
  double price = 0;
  double discount = 0;
  double tax = 0;
  std::string_view returned;
  std::string_view status;
  std::string_view shipped;
};
BOOST_DESCRIBE_STRUCT(item, (), (orderkey, quantity, price, discount, tax, returned, status, shipped))

// ---- 1: what was shipped, by group ----

struct sums {
  double quantity = 0;
  double base_price = 0;
  double discounted = 0;
  double charged = 0;
  double discounts = 0;
  std::int64_t items = 0;
};
BOOST_DESCRIBE_STRUCT(sums, (), (quantity, base_price, discounted, charged, discounts, items))

struct add_up : troupe::folder<sums, item> {
  sums init() { return {}; }
  void fold(sums& all, const item& i) {
    all.quantity += i.quantity;
    all.base_price += i.price;
    all.discounted += i.price * (1 - i.discount);
    all.charged += i.price * (1 - i.discount) * (1 + i.tax);
    all.discounts += i.discount;
    ++all.items;
  }
  void merge(sums& all, const sums& other) {
    all.quantity += other.quantity;
    all.base_price += other.base_price;
    all.discounted += other.discounted;
    all.charged += other.charged;
    all.discounts += other.discounts;
    all.items += other.items;
  }
};

struct line_of_report {
  std::string_view returned;
  std::string_view status;
  double sum_quantity = 0;
  double sum_base_price = 0;
  double sum_discounted = 0;
  double sum_charged = 0;
  double mean_quantity = 0;
  double mean_price = 0;
  double mean_discount = 0;
  std::int64_t items = 0;
};
BOOST_DESCRIBE_STRUCT(line_of_report, (),
                      (returned, status, sum_quantity, sum_base_price, sum_discounted, sum_charged, mean_quantity,
                       mean_price, mean_discount, items))

TROUPE_JOB(pricing_summary,
           troupe::read_records<item>() |
               troupe::filter([](const item& i) { return i.shipped <= std::string_view("1998-09-02"); }) |
               troupe::map([](const item& i) { return std::pair(std::pair(i.returned, i.status), i); }) |
               troupe::fold_by_key<add_up>() | troupe::sort_by([](const auto& group) { return group.first; }) |
               troupe::map([](const auto& group) {
                 const auto& [key, all] = group;
                 const auto n = static_cast<double>(all.items);
                 return line_of_report{key.first,         key.second,  all.quantity,     all.base_price,
                                       all.discounted,    all.charged, all.quantity / n, all.base_price / n,
                                       all.discounts / n, all.items};
               }) |
               troupe::write());

// ---- 3: the ten open orders that are worth most ----

struct open_order {
  std::int64_t orderkey = 0;
  double revenue = 0;
  std::string_view orderdate;
  std::int64_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(open_order, (), (orderkey, revenue, orderdate, priority))

constexpr auto builders = troupe::read_records<customer, 0>() |
                          troupe::filter([](const customer& c) { return c.segment == std::string_view("BUILDING"); }) |
                          troupe::map([](const customer& c) { return std::pair(c.custkey, true); });
constexpr auto early = troupe::read_records<order, 1>() |
                       troupe::filter([](const order& o) { return o.orderdate < std::string_view("1995-03-15"); }) |
                       troupe::map([](const order& o) {
                         return std::pair(o.custkey, std::pair(o.orderkey, std::pair(o.orderdate, o.priority)));
                       }) |
                       troupe::semi_join(builders) | troupe::map([](const auto& found) { return found.second; });
constexpr auto revenue = troupe::read_records<item, 2>() |
                         troupe::filter([](const item& i) { return i.shipped > std::string_view("1995-03-15"); }) |
                         troupe::map([](const item& i) { return std::pair(i.orderkey, i.price * (1 - i.discount)); }) |
                         troupe::fold_by_key<troupe::sum>();

TROUPE_JOB(shipping_priority, revenue | troupe::join(early) | troupe::map([](const auto& joined) {
                                const auto& [orderkey, parts] = joined;
                                return open_order{orderkey, parts.first, parts.second.first, parts.second.second};
                              }) | troupe::top<10>([](const open_order& o) { return o.revenue; }) |
                                  troupe::write());

// ---- 6: what more would have come in without the small discounts ----

TROUPE_JOB(forgone_revenue,
           troupe::read_records<item>() | troupe::filter([](const item& i) {
             return i.shipped >= std::string_view("1994-01-01") && i.shipped < std::string_view("1995-01-01") &&
                    i.discount >= 0.05 && i.discount <= 0.07 && i.quantity < 24;
           }) |
               troupe::map([](const item& i) { return std::pair(std::string_view("revenue"), i.price * i.discount); }) |
               troupe::fold_by_key<troupe::sum>() | troupe::write("what", "sum"));

}  // namespace orders
