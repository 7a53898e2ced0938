// What the page says, in Chinese. i18n.js looks up the English texts of the code here.

export const chinese = {
};

// Names of the protocol and of the API.
export const chineseNames = {
};
