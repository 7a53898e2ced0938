export function deviceView() { return {}; }
