/// Data for scripts/bench, on standard output; the same arguments give the same bytes on every machine.
///
///   bench_data records COUNT             lines of 99 characters, whose first ten are the key
///   bench_data pairs COUNT KEYS FORMAT   key, value: keys drawn evenly from KEYS different ones
///   bench_data keys KEYS FORMAT          every one of those keys once, with a value
///   bench_data edges COUNT NODES FORMAT  from, to: from is drawn evenly, to is the more likely the smaller it is
///
/// FORMAT: csv for troupe, bin for references (two numbers, 64 bits each of pairs and 32 bits each of edges,
/// little-endian).
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

/// SplitMix64: small, fixed for ever.
struct random_numbers {
  std::uint64_t state;
  std::uint64_t operator()() { return scramble(state += 0x9e3779b97f4a7c15); }
  static std::uint64_t scramble(std::uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t n) {
    __extension__ typedef unsigned __int128 uint128;
    return static_cast<std::uint64_t>(static_cast<uint128>((*this)()) * n >> 64);
  }
};

class output {
 public:
  ~output() { write(); }
  void put(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= 1 << 20) write();
  }
  template <class Number>
  void put(bool csv, Number x, Number y) {
    char raw[2 * sizeof(Number)];
    char text[64];
    if (csv) {
      char* at = std::to_chars(text, text + 30, x).ptr;
      *at++ = ',';
      at = std::to_chars(at, text + 62, y).ptr;
      *at++ = '\n';
      put({text, static_cast<std::size_t>(at - text)});
    } else {
      std::memcpy(raw, &x, sizeof x);
      std::memcpy(raw + sizeof x, &y, sizeof y);
      put({raw, sizeof raw});
    }
  }

 private:
  void write() {
    if (std::fwrite(buffer_.data(), 1, buffer_.size(), stdout) != buffer_.size()) {
      std::perror("bench_data");
      std::exit(1);
    }
    buffer_.clear();
  }
  std::string buffer_;
};

/// Different numbers below 2^32 for different ones: an odd multiplier and shifts can be undone.
std::uint64_t key_of(std::uint64_t id) {
  auto x = static_cast<std::uint32_t>(id);
  x = (x ^ x >> 16) * 0x7feb352d;
  x = (x ^ x >> 15) * 0x846ca68b;
  return x ^ x >> 16;
}

int usage() {
  std::fprintf(stderr,
               "usage: bench_data records COUNT | pairs COUNT KEYS csv|bin | keys KEYS csv|bin | edges COUNT NODES "
               "csv|bin\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  random_numbers random{1};
  output out;
  if (kind == "records" && argc == 3) {
    char line[100];
    line[99] = '\n';
    for (auto left = number(2); left > 0; --left) {
      for (int i = 0; i < 99; i += 9) {
        auto bits = random();
        for (int k = i; k < i + 9; ++k, bits >>= 6) line[k] = static_cast<char>(' ' + (bits & 63));
      }
      out.put({line, sizeof line});
    }
  } else if (kind == "pairs" && argc == 5) {
    const auto keys = number(3);
    for (auto left = number(2); left > 0; --left) {
      const auto key = key_of(random.below(keys));
      out.put(argv[4] == std::string_view("csv"), key, random.below(10'000));
    }
  } else if (kind == "keys" && argc == 4) {
    for (std::uint64_t id = 0; id < number(2); ++id)
      out.put(argv[3] == std::string_view("csv"), key_of(id), random.below(10'000));
  } else if (kind == "edges" && argc == 5) {
    const auto nodes = number(3);
    for (auto left = number(2); left > 0; --left) {
      const auto from = static_cast<std::uint32_t>(random.below(nodes));
      const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
      out.put(argv[4] == std::string_view("csv"), from,
              static_cast<std::uint32_t>(unit * unit * unit * static_cast<double>(nodes)));
    }
  } else {
    return usage();
  }
  return 0;
}
