// fake_cluster: a fake Kubernetes API server as a program.
//
//   fake_cluster [--name=NAME] [--address=127.0.0.1] [--port=0]
//                [--port-file=FILE] [--token=TOKEN] [--prefix=/PATH]
//                [--cert=FILE --key=FILE [--client-ca=FILE]]
//                [--bookmark-interval-ms=10000] [--history=100000]
//                [--kubernetes=36] [--member-hang-ms=10000] [--starting]
//
// Its control API (control_api.cc) is served on the same port and, in plain
// HTTP, on a second one, which still answers when the first is refused. The
// port file gets both, "PORT CONTROL_PORT\n", once they are open. SIGTERM and
// SIGINT end it.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "t/fake_cluster/connection_server.h"
#include "t/fake_cluster/fake_cluster.h"

namespace {

using dynweight::FakeCluster;
using dynweight::FakeClusterOptions;
using dynweight::fake::Connection;
using dynweight::fake::ConnectionServer;
using dynweight::fake::HttpServerRequest;
using dynweight::fake::HttpServerResponse;

// "--flag=value" or "--flag value".
const char* FlagValue(const char* flag, int argc, char** argv, int* index) {
  const char* argument = argv[*index];
  size_t length = strlen(flag);
  if (strncmp(argument, flag, length) != 0) return nullptr;
  if (argument[length] == '=') return argument + length + 1;
  if (argument[length] != '\0' || *index + 1 >= argc) return nullptr;
  return argv[++*index];
}

bool WritePortFile(const std::string& path, int port, int control_port) {
  // Renamed, so that whoever waits for it never reads half of it.
  std::string temporary = path + ".tmp";
  FILE* file = fopen(temporary.c_str(), "w");
  if (file == nullptr) return false;
  bool written = fprintf(file, "%d %d\n", port, control_port) > 0;
  written = fclose(file) == 0 && written;
  return written && rename(temporary.c_str(), path.c_str()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  FakeClusterOptions options;
  std::string port_file;
  for (int i = 1; i < argc; ++i) {
    if (const char* v = FlagValue("--name", argc, argv, &i)) {
      options.name = v;
    } else if (const char* v = FlagValue("--address", argc, argv, &i)) {
      options.address = v;
    } else if (const char* v = FlagValue("--port-file", argc, argv, &i)) {
      port_file = v;
    } else if (const char* v = FlagValue("--port", argc, argv, &i)) {
      options.port = atoi(v);
    } else if (const char* v = FlagValue("--token", argc, argv, &i)) {
      options.token = v;
    } else if (const char* v = FlagValue("--prefix", argc, argv, &i)) {
      options.prefix = v;
    } else if (const char* v = FlagValue("--cert", argc, argv, &i)) {
      options.cert_file = v;
    } else if (const char* v = FlagValue("--key", argc, argv, &i)) {
      options.key_file = v;
    } else if (const char* v = FlagValue("--client-ca", argc, argv, &i)) {
      options.client_ca_file = v;
    } else if (const char* v =
                   FlagValue("--bookmark-interval-ms", argc, argv, &i)) {
      options.bookmark_interval_ms = atoll(v);
    } else if (const char* v = FlagValue("--kubernetes", argc, argv, &i)) {
      options.kubernetes = atoi(v);
    } else if (const char* v = FlagValue("--member-hang-ms", argc, argv, &i)) {
      options.member_hang_ms = atoll(v);
    } else if (const char* v = FlagValue("--history", argc, argv, &i)) {
      options.history = static_cast<size_t>(atoll(v));
    } else if (strcmp(argv[i], "--starting") == 0) {
      options.starting = true;
    } else {
      fprintf(stderr, "fake_cluster: unknown argument %s\n", argv[i]);
      return 2;
    }
  }

  // Before any thread begins, so that all inherit it.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);

  auto cluster = FakeCluster::Start(options);
  if (cluster == nullptr) return 1;
  ConnectionServer control(
      nullptr, [&](const HttpServerRequest& request,
                   HttpServerResponse* response, Connection*) {
        auto [status, json] =
            cluster->Control(request.method, request.path, request.body);
        response->status = status;
        response->Set(json, "application/json");
      });
  int control_port = control.Bind(options.address, 0);
  if (control_port <= 0) {
    perror("fake_cluster: control port");
    return 1;
  }
  std::thread control_thread([&] { control.Serve(); });
  if (!port_file.empty() &&
      !WritePortFile(port_file, cluster->port(), control_port)) {
    perror(port_file.c_str());
  }
  printf("%s %d %d\n", options.name.c_str(), cluster->port(), control_port);
  fflush(stdout);

  int signal;
  sigwait(&ending, &signal);
  cluster->Stop();
  control.Shutdown(nullptr);
  control_thread.join();
  return 0;
}
