export const content = () => "Your profile.";
