// Tells the service manager how it stands (sd_notify(3), the protocol of NOTIFY_SOCKET).
#pragma once

#include <string>

namespace ringgate::server {

// `state`: "READY=1", "STOPPING=1". Does nothing where no manager asked. Main thread.
void notify_manager(const std::string& state);

}  // namespace ringgate::server
