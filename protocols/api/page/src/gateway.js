export function gatewayView() { return {}; }
