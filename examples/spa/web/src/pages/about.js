export const content = () => "About this example.";
