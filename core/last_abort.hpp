#pragma once
// The last steps of a stop, when all that is owed to anybody is written: libzmq was seen to abort (zmtp_engine.cpp:446) while its socket
// was closed among connections that were half made, and that is no failure of the stop. Any other abort is.

namespace gorgone {

/// From now on an abort by libzmq ends the process with status 0, any other with 1; each leaves a line in the log.
void end_well_where_libzmq_aborts();

}  // namespace gorgone
