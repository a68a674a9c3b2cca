#pragma once
// What a line of the spool becomes: messages for its poller. No I/O.

#include <gorgone/json.hpp>

#include <string>
#include <vector>

#include "line.hpp"

namespace gorgone::legacycmd {

/// What the database says of a poller; empty where it says NULL.
struct Poller {
  bool is_active = true;
  std::string name, command_file, cfg_dir, broker_cfg_dir, traps_dir;
  std::string engine_start, engine_stop, engine_restart, engine_reload, broker_reload, traps_service;
};

struct Paths {
  std::string cache_dir, cache_dir_trap, remote_dir;
};

struct Order {
  std::string action;
  json::object data;
  std::string source = {};        ///< what is copied: it must be there
  bool may_be_missing = false;    ///< nothing is said where it is not
  bool needs_all_before = false;  ///< is left out where an order before it had to be
  bool may_fail = false;          ///< nothing is said where it does
};

/// STARTWORKER needs no poller's data.
bool needs_poller(const Line& line);

/// The lane a line goes by: its poller's; one for all that needs none or makes no sense.
std::string lane_of(const Line& line);

/// An Error where the database lacks what the line needs.
Result<std::vector<Order>> orders_of(const Line& line, const Poller& poller, const Paths& paths, std::string_view illegal_characters);

}  // namespace gorgone::legacycmd
