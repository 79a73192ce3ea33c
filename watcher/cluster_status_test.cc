// Tests of the status document.

#include "watcher/cluster_status.h"

#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

TEST(ClusterStatus, WritesEveryMember) {
  ClusterStatus status;
  status.api = "https://10.0.0.1:6443";
  status.mode = "watch";
  status.synced = true;
  status.last_success_ms = 1700000000001;
  status.last_error = "HTTP 403";
  status.last_error_ms = 2;
  status.failing_since_ms = 3;
  status.requests = 4;
  status.rejected = 5;
  status.held_back = 1;
  status.warnings = {"look here"};
  status.resource_versions["/api/v1/nodes"] = "77";
  EXPECT_EQ(EncodeClusterStatus(status),
            R"({"api":"https://10.0.0.1:6443","mode":"watch","complete":false,)"
            R"("synced":true,"last_success":1700000000001,"observed":0,)"
            R"("last_error":"HTTP 403",)"
            R"("last_error_at":2,"failing_since":3,"requests":4,"lists":0,)"
            R"("watches":0,"events":0,"relists":0,"failures":0,"bytes":0,)"
            R"("rejected":5,"held_back":1,"warnings":["look here"],)"
            R"("resource_versions":{"/api/v1/nodes":"77"}})");
}

TEST(ClusterStatus, StaysWithinItsRoomWhateverItHolds) {
  ClusterStatus status;
  status.api = status.mode = status.last_error = std::string(20000, '\x01');
  status.warnings.assign(10, std::string(20000, '\x01'));
  status.last_success_ms = std::numeric_limits<int64_t>::min();
  status.last_error_ms = std::numeric_limits<int64_t>::max();
  status.bytes = std::numeric_limits<uint64_t>::max();
  for (int i = 0; i < 1000; i++) {
    status.resource_versions[absl::StrCat("<path", i, ">")] =
        std::string(500, '\xFF');
  }
  const std::string text = EncodeClusterStatus(status);
  EXPECT_LE(text.size(), kMaxStatusBytes);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const JsonDocument document = ParseJson(text).value();
  JsonReader reader("status");
  EXPECT_GT(reader.Count(document.get(), "versions_left_out").value_or(0),
            900u);
  EXPECT_GT(reader.Count(document.get(), "warnings_left_out").value_or(0), 5u);
}

TEST(ClusterStatus, IsTheSameAfterPacking) {
  ClusterStatus status;
  status.api = "https://10.0.0.1:6443";
  status.mode = "poll";
  status.complete = true;
  status.last_error = "</script>\"\n";
  status.last_error_ms = 7;
  status.bytes = std::numeric_limits<uint64_t>::max();
  status.observed_ms = 9;
  status.warnings = {"one", "two"};
  status.resource_versions["/api/v1/nodes"] = "77";
  status.resource_versions["/api/v1/pods"] = "";
  const std::string packed = PackClusterStatus(status);
  EXPECT_EQ(EncodeClusterStatus(UnpackClusterStatus(packed)),
            EncodeClusterStatus(status));
  for (size_t n = 0; n < packed.size(); n++) {  // cut anywhere: no harm
    UnpackClusterStatus(std::string_view(packed).substr(0, n));
  }
}

TEST(ClusterStatus, PackedItStaysWithinItsRoom) {
  ClusterStatus status;
  status.api = status.mode = status.last_error = std::string(20000, 'x');
  status.warnings.assign(10, std::string(20000, 'x'));
  for (int i = 0; i < 1000; i++) {
    status.resource_versions[absl::StrCat("path", i)] = std::string(500, 'v');
  }
  const std::string packed = PackClusterStatus(status);
  EXPECT_LE(packed.size(), kMaxStatusBytes);
  const ClusterStatus unpacked = UnpackClusterStatus(packed);
  EXPECT_GT(unpacked.resource_versions.size(), 10u);
  EXPECT_EQ(unpacked.resource_versions.size() + unpacked.versions_left_out,
            1000u);
}

}  // namespace
}  // namespace dynweight
