export function alarmsView() { return {}; }
