export async function content() {
  const response = await fetch("/api/greeting");
  return response.text();
}
