/** Morning, day or evening, as a postcard would put it. */
export function greet(hour) {
  if (hour < 11) return "Good morning! The ferry was early, the coffee was not.";
  if (hour < 18) return "A good day to you! The tower is open, and the view is wide.";
  return "Good evening! They light the lamp at dusk, and so do we.";
}
