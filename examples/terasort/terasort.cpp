#include <algorithm>
#include <boost/describe/class.hpp>
#include <charconv>
#include <cstdint>
#include <string>
#include <troupe/sdk.hpp>

/// The sort of records of 100 bytes, 10 of them the key (TeraSort of the Sort Benchmark, sortbenchmark.org): a
/// generator, the sort, and a validator, each a job.
namespace terasort {

/// Both are texts of any bytes: as a dataset's record, 102 bytes with their two lengths.
struct entry {
  std::string_view key;    ///< 10 bytes
  std::string_view value;  ///< 90 bytes: the record's number, then filling
};
BOOST_DESCRIBE_STRUCT(entry, (), (key, value))

inline std::uint64_t mixed(std::uint64_t z) {  // SplitMix64
  z += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/// A line «FIRST COUNT» gives the records FIRST … FIRST + COUNT - 1: keys of ten random bytes that follow from the
/// number.
struct generate {
  void start(const troupe::parameters& given, troupe::context&) {
    seed = static_cast<std::uint64_t>(given.integer("seed", 1));
  }
  template <class Emit>
  void operator()(std::string_view line, Emit& emit) {
    std::uint64_t first = 0, count = 0;
    const auto* const end = line.data() + line.size();
    const auto [space, wrong] = std::from_chars(line.data(), end, first);
    if (wrong != std::errc{} || space == end || *space != ' ' || std::from_chars(space + 1, end, count).ptr != end ||
        first > UINT64_MAX - count)
      throw troupe::failure("a line must be «FIRST COUNT», two numbers, not «" + std::string(line.substr(0, 80)) + "»");
    char key[16];
    char value[90];
    std::fill(std::begin(value), std::end(value), '.');
    for (auto n = first; n < first + count; ++n) {
      const auto a = mixed(seed * 0x2545f4914f6cdd1d + n), b = mixed(a);
      std::copy_n(reinterpret_cast<const char*>(&a), 8, key);
      std::copy_n(reinterpret_cast<const char*>(&b), 8, key + 8);
      for (int digit = 0; digit < 16; ++digit) value[digit] = "0123456789abcdef"[n >> (60 - 4 * digit) & 15];
      for (int i = 0; i < 26; ++i) value[20 + i] = static_cast<char>('A' + (b >> i) % 26);
      emit(entry{{key, 10}, {value, 90}});
    }
  }
  std::uint64_t seed = 1;
};
TROUPE_JOB(tera_generate, troupe::read_lines() | troupe::flat_map<entry, generate>() | troupe::write(),
           troupe::parameter("seed", "a number: another one gives other records; 1"));

TROUPE_JOB(tera_sort,
           troupe::read_records<entry>() | troupe::sort_by([](const entry& e) { return e.key; }) | troupe::write());

/// What was found in a run of records, and in several one behind the other.
struct verdict {
  std::uint64_t records = 0;
  std::uint64_t out_of_order = 0;
  std::uint64_t equal_keys = 0;  ///< as the one before
  std::uint64_t checksum = 0;    ///< the same before and after a sort
  std::string first;
  std::string last;
};
BOOST_DESCRIBE_STRUCT(verdict, (), (records, out_of_order, equal_keys, checksum, first, last))

/// Tasks are merged in their order, which is that of partitions and of records in them; so their borders are compared
/// as well.
struct look : troupe::folder<verdict, entry> {
  verdict init() { return {}; }
  void fold(verdict& all, const entry& e) {
    if (all.records == 0)
      all.first = e.key;
    else
      compare(all, e.key);
    all.last = e.key;
    ++all.records;
    all.checksum += mixed(digest(e.key) ^ mixed(digest(e.value)));
  }
  void merge(verdict& all, const verdict& other) {
    if (other.records == 0) return;
    if (all.records == 0)
      all.first = other.first;
    else
      compare(all, other.first);
    all.last = other.last;
    all.records += other.records;
    all.out_of_order += other.out_of_order;
    all.equal_keys += other.equal_keys;
    all.checksum += other.checksum;
  }

 private:
  static void compare(verdict& all, std::string_view next) {
    const auto before = std::string_view(all.last).compare(next);
    all.out_of_order += before > 0 ? 1 : 0;
    all.equal_keys += before == 0 ? 1 : 0;
  }
  static std::uint64_t digest(std::string_view bytes) {
    std::uint64_t all = bytes.size();
    for (const char c : bytes) all = all * 0x100000001b3 + static_cast<unsigned char>(c);
    return all;
  }
};
TROUPE_JOB(tera_validate, troupe::read_records<entry>() | troupe::fold<look>() | troupe::write());

}  // namespace terasort
