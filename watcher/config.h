// What the watcher is told: clusters, and lines that want weights. Plain
// values, made once by the configuration parser and constant afterwards.

#ifndef DYNAMIC_WEIGHT_WATCHER_CONFIG_H_
#define DYNAMIC_WEIGHT_WATCHER_CONFIG_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "watcher/source.h"
#include "weightcalc/slot_plan.h"
#include "weightcalc/weight.h"

namespace dynweight {

// How to prove who we are to an API server and whom we trust. Files are read
// when a connection is made; the token file again when it changes and on 401.
// The *_data members come from a kubeconfig and win over files.
struct Credentials {
  std::string token_file;
  std::string ca_file;
  std::string client_certificate;      // PEM file
  std::string client_certificate_key;  // PEM file
  std::string tls_server_name;  // expected name and SNI, if not the URL's
  bool tls_verify = true;

  std::string token;
  std::string ca_data;  // PEM text
  std::string client_certificate_data;
  std::string client_certificate_key_data;
  std::string proxy_url;

  // The file that all of them come from, if one; it is read again.
  std::string kubeconfig;
  std::string kubeconfig_context;
  std::string kubeconfig_server;  // as it names it

  // All members.
  auto Tie() const {
    return std::tie(token_file, ca_file, client_certificate,
                    client_certificate_key, tls_server_name, tls_verify, token,
                    ca_data, client_certificate_data,
                    client_certificate_key_data, proxy_url, kubeconfig,
                    kubeconfig_context, kubeconfig_server);
  }

  friend bool operator==(const Credentials& a, const Credentials& b) {
    return a.Tie() == b.Tie();
  }
};

// A drop of more than `drop_percent` of what was counted, or to zero, must be
// confirmed by a second list `confirm_ms` later before it counts.
struct GuardPolicy {
  bool on = true;
  uint32_t drop_percent = 50;
  int64_t confirm_ms = 5000;
};

struct ClusterConfig {
  enum class Mode : uint8_t { kWatch, kPoll };

  std::string name;
  std::vector<std::string> api;  // base URLs without trailing slash, a path
                                 // prefix kept; tried in turn
  Credentials credentials;
  NodeSource nodes;
  Mode mode = Mode::kWatch;
  int64_t interval_ms = 5000;  // poll: from the end of one list to the next
  int64_t timeout_ms = 5000;   // to connect, and for a list as a whole
  GuardPolicy guard;
};

// One `ingress_nodes` line of an upstream.
struct LineConfig {
  std::string upstream;
  uint32_t cluster = 0;  // index into WatcherConfig::clusters
  PodSource source;
  uint16_t port = 0;
  uint32_t table = 0;  // index into the tables given to the watcher
  SlotRange range;     // this line's slots in that table
  uint32_t base = kDefaultBase;
  EmptyPolicy empty = EmptyPolicy::kKeep;
};

// One address of a `server` line (a KVM): its slot, which only tuning ever
// gives another weight than the configured one.
struct ServerConfig {
  std::string upstream;
  std::string name;     // as the line has it
  std::string address;  // "10.20.0.11:8080"
  uint32_t table = 0;
  uint32_t slot = 0;
  uint64_t weight = 0;  // ServerWeight(); 0: down
};

struct WatcherConfig {
  std::vector<ClusterConfig> clusters;
  std::vector<LineConfig> lines;
  std::vector<ServerConfig> servers;
  std::string state_file;    // empty: none
  std::string tuning_file;   // empty: none
  int64_t coalesce_ms = 50;  // at most one write of a table per this time
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CONFIG_H_
