// ringgate-ctl registry: the devices that the operator knows. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "tools/ctl/commands.hpp"
#include "tools/ctl/registry_file.hpp"

namespace ringgate::ctl {

struct RegistryOptions {
  std::string file;    // - is standard input or output
  std::string format;  // csv, toml; empty: by the file's name
  bool replace = false;
  bool dry_run = false;
  RegistryEntry entry;  // of add
  bool disabled = false;
};

int registry_list(Client& client, const Options& options);
int registry_show(Client& client, const Options& options);
int registry_add(Client& client, const Options& options, const RegistryOptions& registry);
int registry_remove(Client& client, const Options& options);
int registry_import(Client& client, const Options& options, const RegistryOptions& registry);
int registry_export(Client& client, const Options& options, const RegistryOptions& registry);

}  // namespace ringgate::ctl
