#pragma once
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/modules/description.hpp>
#include <troupe/sdk/abi.hpp>

/// Loading runs the module's code (its static initialisers), so only a worker calls this: never a daemon, which asks
/// `inspect` (inspect.hpp).
namespace troupe::modules {

/// Looks at a file without running anything of it: is it a shared library for this machine? Errors: not_found,
/// io_error, invalid_argument with a sentence.
result<void> check_file(const std::string& path);

/// A module in this process. It is never unloaded (RTLD_NODELETE), so the pointers stay valid; copies are cheap.
class loaded_module {
 public:
  /// RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE, then table and ABI tag are checked. Errors: those of check_file;
  /// invalid_argument (cannot be loaded, or is no troupe module); unsupported (another ABI); each says what to do.
  static result<loaded_module> load(const std::string& path);

  [[nodiscard]] const troupe_module& table() const noexcept { return *table_; }
  /// not_found names the jobs that there are.
  [[nodiscard]] result<const troupe_job*> find_job(std::string_view name) const;
  /// The table as plain structs. corrupted: a schema does not decode, or a name is not one that troupe allows.
  [[nodiscard]] result<module_description> describe() const;

 private:
  loaded_module(const troupe_module* table, std::string path) : table_(table), path_(std::move(path)) {}
  const troupe_module* table_;
  std::string path_;
};

/// Of a table by whatever way it came: version, tag, sizes, jobs with a name and one or two stages. `path` is for the
/// sentence.
result<void> check_table(const troupe_module& table, const std::string& path);

}  // namespace troupe::modules
