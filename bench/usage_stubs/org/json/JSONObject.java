package org.json;

public class JSONObject {
    public JSONObject(String json) throws JSONException {}

    public JSONObject getJSONObject(String name) throws JSONException {
        throw new JSONException();
    }

    public JSONArray getJSONArray(String name) throws JSONException {
        throw new JSONException();
    }
}
