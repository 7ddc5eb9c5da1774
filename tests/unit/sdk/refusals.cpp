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

auto good = troupe::read_lines() | troupe::map<words>() | troupe::fold_by_key<troupe::sum>() | troupe::write();
auto also_good = troupe::read_lines() | troupe::map<whole_records>() | troupe::write();

#ifdef CASE
#if CASE == 1  // fold_by_key<F>() stands directly after map<M>()
auto bad = troupe::read_lines() | troupe::fold_by_key<troupe::sum>() | troupe::write();
#elif CASE == 2   // M must derive from troupe::mapper<Input, Key, Value>
auto bad = troupe::read_lines() | troupe::map<no_base>() | troupe::write();
#elif CASE == 3   // M needs a public void map(Input input, emitter& emit)
auto bad = troupe::read_lines() | troupe::map<no_map>() | troupe::write();
#elif CASE == 4   // M's Input differs from what the source reads
auto bad = troupe::read_records<described>() | troupe::map<words>() | troupe::write();
#elif CASE == 5   // F's Value differs from the mapper's
auto bad = troupe::read_lines() | troupe::map<words>() | troupe::fold_by_key<other_folder>() | troupe::write();
#elif CASE == 6   // F needs init(), fold(Accumulator&, const Value&) and merge(Accumulator&, const Accumulator&)
auto bad = troupe::read_lines() | troupe::map<words>() | troupe::fold_by_key<half_folder>() | troupe::write();
#elif CASE == 7   // R's Key differs from the mapper's
auto bad = troupe::read_lines() | troupe::map<words>() | troupe::reduce<other_reducer>() | troupe::write();
#elif CASE == 8   // describe T with BOOST_DESCRIBE_STRUCT
auto bad = troupe::read_records<plain>();
#elif CASE == 9   // the mapper writes whole records
auto bad = troupe::read_lines() | troupe::map<whole_records>() | troupe::fold_by_key<troupe::count>() | troupe::write();
#elif CASE == 10  // write() ends a pipeline; put map<M>() before it
auto bad = troupe::read_lines() | troupe::write();
#elif CASE == 11  // a job is a whole pipeline
TROUPE_JOB(bad, troupe::read_lines() | troupe::map<words>());
#elif CASE == 12  // a second map is not there yet
auto bad = troupe::read_lines() | troupe::map<words>() | troupe::map<words>();
#elif CASE == 13  // R must derive from troupe::reducer
auto bad = troupe::read_lines() | troupe::map<words>() | troupe::reduce<plain>() | troupe::write();
#endif
#endif
