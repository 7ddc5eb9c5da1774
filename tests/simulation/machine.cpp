#include <algorithm>
#include <tests/simulation/machine.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/base/codec.hpp>

namespace troupe::simulation {

std::uint64_t machine::apply(log_index index, bytes_view payload) {
  applied_ = index;
  const auto decoded = codec::decode<command>(payload, "command");
  if (!decoded) return 0;
  const auto& c = *decoded;
  const auto seen = std::lower_bound(answers_.begin(), answers_.end(), c.request,
                                     [](const auto& a, std::uint64_t request) { return a.first < request; });
  if (seen != answers_.end() && seen->first == c.request) return seen->second;
  auto& reg = registers_[c.key];
  if (c.what == 0 || (c.what == 2 && reg == c.expected)) reg = c.value;
  if (c.what == 1) reg += c.value;
  answers_.emplace(seen, c.request, reg);
  const std::uint64_t parts[] = {hash_, c.request, c.key, reg};
  hash_ = xxh3_64({reinterpret_cast<const char*>(parts), sizeof parts});
  return reg;
}

bytes machine::save(bool with_requests) const {
  bytes out;
  codec::writer w(out);
  w.put(applied_);
  w.put(hash_);
  w.put(registers_);
  if (with_requests)
    w.put(answers_);
  else
    w.put(decltype(answers_){});
  return out;
}

void machine::load(bytes_view saved) {
  codec::reader in(saved);
  *this = {};
  if (!in.get(applied_) || !in.get(hash_) || !in.get(registers_) || !in.get(answers_)) *this = {};
}

}  // namespace troupe::simulation
