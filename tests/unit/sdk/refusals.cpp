/// Pipelines that make no sense, one for each CASE, with the words that the compiler must say. Driven by refusals.sh;
/// without CASE everything compiles.
#include <boost/describe/class.hpp>
#include <troupe/sdk.hpp>

struct words : troupe::mapper<std::string_view, std::string_view, std::uint64_t> {
  void map(std::string_view line, emitter& emit) { emit(line, 1); }
};
struct plain {
  int a;
};
struct described {
  int a;
};
BOOST_DESCRIBE_STRUCT(described, (), (a))
struct no_base {
  void map(std::string_view, int&) {}
};
struct no_map : troupe::mapper<std::string_view, int, int> {};
struct other_folder : troupe::folder<int, double> {
  int init() { return 0; }
  void fold(int&, const double&) {}
  void merge(int&, const int&) {}
};
struct half_folder : troupe::folder<std::uint64_t, std::uint64_t> {
  std::uint64_t init() { return 0; }
};
struct other_reducer : troupe::reducer<int, std::uint64_t, described> {
  void reduce(int, troupe::values<std::uint64_t>&, emitter&) {}
};
struct whole_records : troupe::mapper<std::string_view, described> {
  void map(std::string_view, emitter& emit) { emit({1}); }
};
struct half_co_reducer : troupe::co_reducer<std::string_view, std::uint64_t, std::uint64_t, described> {};

constexpr auto lines = troupe::read_lines();
constexpr auto pairs = lines | troupe::map<words>();
auto good = pairs | troupe::fold_by_key<troupe::sum>() | troupe::write();
auto also_good = lines | troupe::map<whole_records>() | troupe::write();

#ifdef CASE
#if CASE == 1  // fold_by_key<F>() stands behind something that gives keys and values
auto bad = lines | troupe::fold_by_key<troupe::sum>() | troupe::write();
#elif CASE == 2   // M must derive from troupe::mapper<Input, Key, Value>
auto bad = lines | troupe::map<no_base>() | troupe::write();
#elif CASE == 3   // M needs a public void map(Input input, emitter& emit)
auto bad = lines | troupe::map<no_map>() | troupe::write();
#elif CASE == 4   // M's Input differs from the records that come here
auto bad = troupe::read_records<described>() | troupe::map<words>() | troupe::write();
#elif CASE == 5   // F's Value differs from the values that come here
auto bad = pairs | troupe::fold_by_key<other_folder>() | troupe::write();
#elif CASE == 6   // F needs init(), fold(Accumulator&, const Value&) and merge(Accumulator&, const Accumulator&)
auto bad = pairs | troupe::fold_by_key<half_folder>() | troupe::write();
#elif CASE == 7   // R's Key differs from the keys that come here
auto bad = pairs | troupe::reduce<other_reducer>() | troupe::write();
#elif CASE == 8   // describe T with BOOST_DESCRIBE_STRUCT
auto bad = troupe::read_records<plain>();
#elif CASE == 9   // fold_by_key<F>() stands behind something that gives keys and values
auto bad = lines | troupe::map<whole_records>() | troupe::fold_by_key<troupe::count>() | troupe::write();
#elif CASE == 10  // write() ends a pipeline; put map<M>() before it
auto bad = troupe::write() | troupe::write();
#elif CASE == 11  // a job is a whole pipeline
TROUPE_JOB(bad, pairs);
#elif CASE == 12  // M's Input differs from the records that come here
auto bad = pairs | troupe::map<words>() | troupe::write();
#elif CASE == 13  // R must derive from troupe::reducer
auto bad = pairs | troupe::reduce<plain>() | troupe::write();
#elif CASE == 14  // filter(f): f cannot be called with the records that come here
auto bad = lines | troupe::filter([](int x) { return x > 0; }) | troupe::write();
#elif CASE == 15  // map(f): f may not capture anything
int shift = 0;
auto bad = lines | troupe::map([by = shift](std::string_view) { return by; }) | troupe::write();
#elif CASE == 16  // map(f): f must give a number, string, optional, vector, pair or described struct of them
auto bad = lines | troupe::map([](std::string_view) { return plain{1}; }) | troupe::write();
#elif CASE == 17  // union_with(other): both sides must give records of the same type
auto bad = lines | troupe::union_with(pairs) | troupe::write();
#elif CASE == 18  // the keys of the two sides differ in type
auto bad =
    pairs | troupe::join(lines | troupe::map([](std::string_view) { return std::pair(1, 2); })) | troupe::write();
#elif CASE == 19  // other must give keys and values
auto bad = pairs | troupe::join(lines) | troupe::write();
#elif CASE == 20  // sort_by(by): by cannot be called with the records that come here
auto bad = lines | troupe::sort_by([](int x) { return x; }) | troupe::write();
#elif CASE == 21  // top<K>(by): by cannot be called with the records that come here
auto bad = lines | troupe::top<3>([](int x) { return x; }) | troupe::write();
#elif CASE == 22  // the body does not use its state
auto bad = pairs | troupe::iterate<3>([](auto) { return pairs | troupe::keep(); }) | troupe::write();
#elif CASE == 23  // the body must move the state
auto bad =
    lines |
    troupe::iterate<3>([](auto state) { return state | troupe::filter([](std::string_view) { return true; }); }) |
    troupe::write();
#elif CASE == 24  // R needs a public void reduce(Key, troupe::values<Left>&, troupe::values<Right>&, emitter&)
auto bad = pairs | troupe::co_group<half_co_reducer>(pairs) | troupe::write();
#elif CASE == 25  // f cannot be called with (a record, const std::vector<Record of the side>&)
auto bad = lines | troupe::map_with(pairs, [](std::string_view l) { return l; }) | troupe::write();
#elif CASE == 26  // every read_…() of a pipeline names its input by number, or none does
TROUPE_JOB(bad, troupe::read_lines<0>() | troupe::union_with(lines) | troupe::write());
#elif CASE == 27  // f takes its record by value and gives a view of that copy
constexpr auto owned = lines | troupe::map([](std::string_view l) { return std::string(l); });
auto bad = owned | troupe::map([](std::string l) { return std::string_view(l).substr(1); }) | troupe::write();
#elif CASE == 28  // f takes its record by value and gives a view of that copy
constexpr auto owned = lines | troupe::map([](std::string_view l) { return std::string(l); });
auto bad = owned | troupe::map([](auto l) { return std::pair(std::string_view(l), 1); }) | troupe::write();
#elif CASE == 29  // converged must give a pipeline of bool that uses one of its states
auto bad = pairs |
           troupe::iterate_until<9>([](auto state) { return state | troupe::fold_by_key<troupe::sum>(); },
                                    [](auto, auto after) { return after; }) |
           troupe::write();
#elif CASE == 30  // there may be no keep() and no union_with(other)
auto bad =
    pairs |
    troupe::iterate_until<9>([](auto state) { return state | troupe::keep(); },
                             [](auto, auto after) { return after | troupe::map([](const auto&) { return true; }); }) |
    troupe::write();
#elif CASE == 31  // is write() missing?
TROUPE_JOB(bad, pairs | troupe::fold_by_key<troupe::sum>());
#elif CASE == 32  // filter(f): f cannot be called with the records that come here
struct wrong_filter {
  bool operator()(const std::string&) const { return true; }
};
TROUPE_JOB(bad, pairs | troupe::filter<wrong_filter>() | troupe::fold_by_key<troupe::sum>() | troupe::write());
#endif
#endif
