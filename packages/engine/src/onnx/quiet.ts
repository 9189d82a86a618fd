/**
 * Keeps ONNX Runtime from reporting its use over the network. It asks the environment of the process when it is loaded,
 * so this is imported before it; threads cannot change that environment, but the main thread has then done so.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1';
