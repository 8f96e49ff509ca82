import PhotosUI
import SwiftUI
import Vision

/// Pick a photo, see its three most probable classes.
@main
struct EdgevitExample: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}

struct ContentView: View {
    @State private var chosen: PhotosPickerItem?
    @State private var answer = "No photo yet"

    var body: some View {
        VStack(spacing: 24) {
            PhotosPicker("Choose a photo", selection: $chosen, matching: .images)
            Text(answer).multilineTextAlignment(.center)
        }
        .padding()
        .onChange(of: chosen) { _, item in
            Task { answer = await classify(item) }
        }
    }

    private func classify(_ item: PhotosPickerItem?) async -> String {
        guard let data = try? await item?.loadTransferable(type: Data.self) else { return "No photo" }
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("photo")
        do {
            try data.write(to: file)
            guard let photo = loadPhoto(file) else { return "This photo cannot be read" }
            let model = try VisionModel(openModel())
            let found = try model.run(photo.image, photo.orientation).prefix(3)
            return found.map { String(format: "%@  %.1f %%", $0.identifier, 100 * $0.confidence) }.joined(separator: "\n")
        } catch {
            return error.localizedDescription
        }
    }
}
