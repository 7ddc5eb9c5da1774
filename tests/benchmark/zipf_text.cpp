/// Prints text whose words follow Zipf's law, as those of languages do: `zipf_text BYTES [SEED [VOCABULARY [EXPONENT]]]
/// > FILE`. The same arguments give the same bytes on every machine.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

/// SplitMix64: small, fixed for ever.
struct random_numbers {
  std::uint64_t state;
  std::uint64_t operator()() {
    auto z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double unit() { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
};

/// Letters by their frequency in English, so that words look and compress like words.
std::string make_word(random_numbers& random, std::size_t rank) {
  static constexpr char letters[] =
      "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummmwwffggyyppbbvkjxqz";
  // Common words are short: 1 to 5 letters for the first hundred, then 4 to 12.
  const auto length = rank < 100 ? 1 + random() % 5 : 4 + random() % 9;
  std::string word;
  for (std::uint64_t i = 0; i < length; ++i) word += letters[random() % (sizeof letters - 1)];
  return word;
}

/// Walker's alias method (Vose 1991): a draw from any distribution by one table look-up.
struct alias_table {
  std::vector<double> keep;
  std::vector<std::uint32_t> other;

  explicit alias_table(std::vector<double> weight) : keep(weight.size()), other(weight.size()) {
    double total = 0;
    for (const auto w : weight) total += w;
    std::vector<std::uint32_t> small, large;
    for (std::uint32_t i = 0; i < weight.size(); ++i) {
      weight[i] *= static_cast<double>(weight.size()) / total;
      (weight[i] < 1 ? small : large).push_back(i);
    }
    while (!small.empty() && !large.empty()) {
      const auto s = small.back(), l = large.back();
      small.pop_back();
      keep[s] = weight[s];
      other[s] = l;
      weight[l] -= 1 - weight[s];
      if (weight[l] < 1) {
        large.pop_back();
        small.push_back(l);
      }
    }
    for (const auto i : small) keep[i] = 1;
    for (const auto i : large) keep[i] = 1;
  }
  std::size_t draw(random_numbers& random) const {
    const auto i = random() % keep.size();
    return random.unit() < keep[i] ? i : other[i];
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: zipf_text BYTES [SEED [VOCABULARY [EXPONENT]]]\n");
    return 2;
  }
  const auto bytes = std::strtoull(argv[1], nullptr, 10);
  random_numbers random{argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1};
  const auto vocabulary = static_cast<std::size_t>(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 500'000);
  const double exponent = argc > 4 ? std::strtod(argv[4], nullptr) : 1.0;
  std::vector<std::string> words;
  std::vector<double> weight;
  for (std::size_t rank = 0; rank < vocabulary; ++rank) {
    words.push_back(make_word(random, rank));
    weight.push_back(1 / std::pow(static_cast<double>(rank + 1), exponent));
  }
  const alias_table table(std::move(weight));
  std::string out;
  unsigned long long written = 0;
  while (written < bytes) {
    out.clear();
    while (out.size() < (1 << 20)) {
      for (auto left = 6 + random() % 12; left > 0; --left) {
        out += words[table.draw(random)];
        out += left == 1 ? '\n' : ' ';
      }
    }
    if (written + out.size() > bytes) {
      out.resize(bytes - written);
      out.back() = '\n';
    }
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) {
      std::perror("zipf_text");
      return 1;
    }
    written += out.size();
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
